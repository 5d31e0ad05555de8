#include "agent/images/layer_view.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/fs/rooted_dir.h"
#include "base/text.h"

namespace berth::agent {
namespace {

constexpr int kMostLinks = 40;
using Links = RootedDir::Links;

bool is_whiteout(const struct stat& at) { return S_ISCHR(at.st_mode) && at.st_rdev == 0; }

// One directory of the overlay: its path and the layers that show something of it, topmost first.
struct Merged {
  std::string path;
  std::vector<std::size_t> layers;
};

// What stands at a path: a directory (`layers`), or something of one layer.
struct Found {
  Merged directory;
  std::size_t layer = 0;
  struct stat at {};
  bool exists() const { return at.st_mode != 0; }
};

class View {
 public:
  explicit View(const std::vector<std::string>& layers) : layers_(layers) {
    Merged root;
    for (std::size_t i = layers.size(); i-- > 0;) root.layers.push_back(i);
    way_.push_back(std::move(root));
  }

  Result<std::string> read(const std::string& path, std::size_t limit) {
    enqueue(path);
    while (!left_.empty()) {
      std::string name = std::move(left_.back());
      left_.pop_back();
      if (name == "..") {
        if (way_.size() > 1) way_.pop_back();
        continue;
      }
      BERTH_ASSIGN(Found found, look_up(way_.back(), name));
      if (!found.exists()) return std::string();
      if (S_ISDIR(found.at.st_mode)) {
        way_.push_back(std::move(found.directory));
      } else if (S_ISLNK(found.at.st_mode)) {
        if (++links_ > kMostLinks) return std::string();
        BERTH_ASSIGN(RootedDir layer, RootedDir::open(layers_[found.layer]));
        BERTH_ASSIGN(std::string target, layer.read_link(below(name), Links::kNone));
        if (target.starts_with("/")) way_.resize(1);
        enqueue(target);
      } else if (!left_.empty() || !S_ISREG(found.at.st_mode)) {
        return std::string();
      } else {
        BERTH_ASSIGN(RootedDir layer, RootedDir::open(layers_[found.layer]));
        return layer.read_file(below(name), limit, Links::kNone);
      }
    }
    return std::string();
  }

 private:
  std::string below(const std::string& name) const {
    const std::string& at = way_.back().path;
    return at.empty() ? name : at + "/" + name;
  }

  void enqueue(const std::string& path) {
    auto parts = split(path, '/');
    for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
      if (!part->empty() && *part != ".") left_.emplace_back(*part);
    }
  }

  Result<Found> look_up(const Merged& directory, const std::string& name) const {
    Found found;
    found.directory.path = below(name);
    for (std::size_t i : directory.layers) {
      BERTH_ASSIGN(RootedDir layer, RootedDir::open(layers_[i]));
      auto at = layer.stat(found.directory.path, Links::kNone);
      if (at.failed_with(Code::kNotFound)) continue;
      if (!at.ok()) return at.error();
      if (is_whiteout(*at)) break;
      if (!S_ISDIR(at->st_mode)) {
        // Below a directory of an upper layer it is hidden.
        if (!found.exists()) {
          found.at = *at;
          found.layer = i;
        }
        break;
      }
      found.at = *at;
      found.directory.layers.push_back(i);
      BERTH_ASSIGN(Fd fd, layer.open(found.directory.path, O_RDONLY | O_DIRECTORY, Links::kNone));
      char opaque = 0;
      if (::fgetxattr(fd.get(), "trusted.overlay.opaque", &opaque, 1) == 1 && opaque == 'y') break;
    }
    return found;
  }

  const std::vector<std::string>& layers_;
  std::vector<Merged> way_;        // from the root to where the look-up is
  std::vector<std::string> left_;  // names still to be looked up, the next one last
  int links_ = 0;
};

}  // namespace

Result<std::string> image_file(const std::vector<std::string>& layers, const std::string& path, std::size_t limit) {
  auto text = View(layers).read(path, limit);
  if (text.failed_with(Code::kTooLarge))
    return error(Code::kInvalid, "/" + path + " of the image is larger than " + std::to_string(limit) + " bytes");
  return text;
}

}  // namespace berth::agent
