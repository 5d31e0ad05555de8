#include "agent/images/image_store.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <deque>
#include <map>
#include <set>

#include "agent/images/disk_room.h"
#include "agent/images/unpack.h"
#include "base/fault.h"
#include "base/files.h"
#include "base/lifetime.h"
#include "base/log.h"
#include "base/process/process.h"
#include "base/text.h"
#include "base/thread_pool.h"
#include "base/time/time.h"

namespace berth::agent {
namespace {

constexpr Duration kPullPatience = 15min;
constexpr int kImagesAtOnce = 3;

struct Entry {
  std::shared_ptr<const Image> image;
  std::vector<std::string> diff_ids;
};
using Images = std::map<std::string, Entry>;  // by id

std::string hex_of(std::string_view digest) { return std::string(cut(digest, ":").after); }

// Bytes of the disk that the tree uses; a file of several names counts once.
Result<std::int64_t> tree_size(const RootedDir& directory) {
  std::int64_t total = 0;
  BERTH_TRY(directory.walk([&total](const RootedDir::Entry& entry) -> Status {
    bool shared = !S_ISDIR(entry.at.st_mode) && entry.at.st_nlink > 1;
    total += entry.at.st_blocks * 512 / (shared ? static_cast<std::int64_t>(entry.at.st_nlink) : 1);
    return {};
  }));
  return total;
}

// An image as the pool brought it in; the loop only has to enter it.
struct Imported {
  std::string id;
  std::vector<std::string> tags, digests, diff_ids;
  Value config;
  std::int64_t size = 0;
  bool pulled = false;
};

class Importer {
 public:
  Importer(std::string root, std::string work) : root_(std::move(root)), work_(std::move(work)) {}

  Result<std::vector<Imported>> run(const std::string& file, const std::string& reference) {
    Result<std::vector<Imported>> result = bring_in(file, reference);
    (void)remove_all(work_);
    return result;
  }

 private:
  Result<std::vector<Imported>> bring_in(const std::string& file, const std::string& reference) {
    BERTH_TRY(make_directories(work_ + "/files", 0700));
    BERTH_ASSIGN(files_, RootedDir::open(work_ + "/files"));
    BERTH_ASSIGN(layers_, RootedDir::open(root_ + "/layers"));
    BERTH_TRY(extract_files(file, files_));
    BERTH_ASSIGN(std::vector<FoundImage> found, find_images(files_));
    std::vector<Imported> out;
    for (const FoundImage& image : found) {
      BERTH_ASSIGN(Imported imported, take(image));
      if (!reference.empty()) imported.tags = {reference};
      for (std::string& tag : imported.tags) {
        BERTH_ASSIGN(tag, normalize_reference(tag));
        if (!image.manifest_digest.empty())
          imported.digests.push_back(std::string(tag.substr(0, tag.rfind(':'))) + "@" + image.manifest_digest);
      }
      out.push_back(std::move(imported));
    }
    return out;
  }

  Result<Imported> take(const FoundImage& found) {
    Result<Value> config = json::parse(found.config_text);
    if (!config.ok()) return error(Code::kInvalid, "the image's configuration is damaged: " + config.error().message);
    Imported image;
    image.id = "sha256:" + sha256_hex(found.config_text);
    image.config = (*config)["config"];
    image.tags = found.tags;
    for (const Value& diff_id : (*config)["rootfs"]["diff_ids"]) {
      // It becomes the name of a directory.
      if (!is_digest(diff_id.as_string()))
        return error(Code::kInvalid, "the image's configuration names a layer " + quoted(diff_id.as_string()) +
                                         ": only sha256 digests are accepted");
      image.diff_ids.push_back(diff_id.str());
    }
    if (image.diff_ids.size() != found.layer_files.size()) {
      return error(Code::kInvalid, "the image has " + std::to_string(found.layer_files.size()) +
                                       " layers, its configuration names " + std::to_string(image.diff_ids.size()));
    }
    std::vector<std::string> below;
    for (std::size_t i = 0; i < image.diff_ids.size(); ++i) {
      std::string home = hex_of(image.diff_ids[i]);
      BERTH_TRY(unpack(found.layer_files[i], image.diff_ids[i], home, below));
      BERTH_ASSIGN(RootedDir layer, layers_.directory(home, RootedDir::Links::kNone));
      BERTH_ASSIGN(std::int64_t size, tree_size(layer));
      image.size += size;
      below.push_back(std::move(home));
    }
    BERTH_TRY(write_file_durably(root_ + "/blobs/sha256/" + hex_of(image.id), found.config_text));
    return image;
  }

  // Unless it is here already. The directory gets its name when it is whole and on disk.
  Status unpack(const std::string& file, const std::string& diff_id, const std::string& home,
                const std::vector<std::string>& below) {
    if (layers_.stat(home).ok()) return {};
    BERTH_ASSIGN(RootedDir work, RootedDir::open(work_));
    BERTH_TRY(work.remove_tree("layer"));
    BERTH_TRY(work.make_directory("layer", 0755));
    BERTH_ASSIGN(RootedDir fresh, work.directory("layer", RootedDir::Links::kNone));
    BERTH_TRY(unpack_layer(files_, file, diff_id, fresh, layers_, below));
    if (::syncfs(fresh.fd()) != 0) return errno_error("writing layer " + diff_id);
    Status kept = ok_status();
    if (::renameat(work.fd(), "layer", layers_.fd(), home.c_str()) != 0) kept = errno_error("keeping layer " + diff_id);
    return layers_.stat(home).ok() ? ok_status() : kept;  // another import may have brought it meanwhile
  }

  std::string root_, work_;
  RootedDir files_, layers_;
};

// What containerd and the kubelet would say of skopeo's complaint.
Error pull_error(const std::string& reference, const std::string& complaint) {
  std::string reason = std::string(trim(complaint));
  if (std::size_t at = reason.rfind("msg=\""); at != std::string::npos) {
    reason = reason.substr(at + 5);
    if (!reason.empty() && reason.back() == '"') reason.pop_back();
  }
  std::string prefix =
      "failed to pull and unpack image \"" + reference + "\": failed to resolve reference \"" + reference + "\": ";
  if (reason.find("manifest unknown") != std::string::npos || reason.find("name unknown") != std::string::npos) {
    return error(Code::kNotFound, prefix + reference + ": not found");
  }
  if (reason.find("unauthorized") != std::string::npos || reason.find("authentication required") != std::string::npos) {
    return error(Code::kForbidden,
                 prefix + "pull access denied, repository does not exist or may require authorization");
  }
  return error(Code::kUnavailable, prefix + reason);
}

// A host name that only begins with one of these is another host.
bool is_local_registry(const std::string& reference) {
  std::string_view host = cut(cut(reference, "/").before, ":").before;
  return host == "127.0.0.1" || host == "localhost";
}

class FileImageStore final : public ImageStore {
 public:
  FileImageStore(Runtime& runtime, std::string root, std::string pull_network)
      : runtime_(runtime), root_(std::move(root)), pull_network_(std::move(pull_network)) {}

  Status open() {
    for (const char* part : {"/blobs/sha256", "/layers"}) BERTH_TRY(make_directories(root_ + part, 0700));
    BERTH_TRY(remove_all(root_ + "/tmp"));  // of an import that was interrupted
    BERTH_TRY(make_directories(root_ + "/tmp", 0700));
    Result<std::string> text = read_file(root_ + "/images.json");
    if (text.failed_with(Code::kNotFound)) return ok_status();
    if (!text.ok()) return text.error();
    Result<Value> index = json::parse(*text);
    if (!index.ok()) return index.error().in("reading " + root_ + "/images.json");
    for (const Value& row : (*index)["images"]) restore(row);
    return ok_status();
  }

  std::shared_ptr<const Image> find(std::string_view reference) const override {
    Result<std::string> name = normalize_reference(reference);
    for (const auto& [id, entry] : images_) {
      const Image& image = *entry.image;
      if (id == reference || (reference.size() >= 12 && hex_of(id).starts_with(reference))) return entry.image;
      if (!name.ok()) continue;
      auto has = [&](const std::vector<std::string>& list) {
        return std::find(list.begin(), list.end(), *name) != list.end();
      };
      if (has(image.tags) || has(image.digests)) return entry.image;
    }
    return nullptr;
  }

  std::vector<std::shared_ptr<const Image>> list() const override {
    std::vector<std::shared_ptr<const Image>> out;
    for (const auto& [id, entry] : images_) out.push_back(entry.image);
    return out;
  }

  void pull(const std::string& reference, const std::vector<PullCredentials>& credentials,
            Function<void(Result<std::shared_ptr<const Image>>)> done) override {
    Result<std::string> name = normalize_reference(reference);
    if (!name.ok()) {
      runtime_.post([done = std::move(done), e = name.error()] { done(e); });
      return;
    }
    std::vector<PullDone>& waiting = pulls_[*name];
    waiting.push_back(std::move(done));
    if (waiting.size() > 1) return;  // joined: one pull serves them all
    auto result = std::make_shared<Result<std::vector<Imported>>>(error(Code::kInternal, "not run"));
    threads_.submit(
        [this, result, name = *name, credentials, work = fresh_work()] { *result = fetch(name, credentials, work); },
        [this, alive = lifetime_.guard(), result, name = *name] {
          if (!alive) return;
          if (result->ok()) {
            for (Imported& image : **result) image.pulled = true;
          }
          enter(std::move(*result), [this, name](const Found& entered) {
            std::vector<PullDone> waiting = std::move(pulls_[name]);
            pulls_.erase(name);
            for (PullDone& one : waiting) {
              if (!entered.ok()) {
                one(entered.error());
              } else {
                one(entered->front());
              }
            }
          });
        });
  }

  void import(const std::string& file, const std::string& reference,
              Function<void(Result<std::vector<std::shared_ptr<const Image>>>)> done) override {
    auto result = std::make_shared<Result<std::vector<Imported>>>(error(Code::kInternal, "not run"));
    auto finished = std::make_shared<Function<void(Found)>>(std::move(done));
    threads_.submit(
        [this, result, file, reference, work = fresh_work()] { *result = Importer(root_, work).run(file, reference); },
        [this, alive = lifetime_.guard(), result, finished] {
          if (alive) enter(std::move(*result), [finished](Found entered) { (*finished)(std::move(entered)); });
        });
  }

  void remove(const std::string& reference, Function<void(Status)> done) override {
    in_turn([this, reference, done = std::move(done)]() mutable {
      std::shared_ptr<const Image> image = find(reference);
      if (image) return forget({image->id}, std::move(done));
      end_turn();
      done(error(Code::kNotFound, "no image " + quoted(reference) + " on this node"));
    });
  }

  void collect(std::vector<std::string> in_use, std::int64_t bytes,
               Function<void(Result<std::int64_t>)> done) override {
    // Other turns may come first, and the disk has to be waited for: an image that is used since is in use as well.
    in_turn([this, in_use = std::move(in_use), asked = uses_, bytes, done = std::move(done)]() mutable {
      std::vector<std::pair<Time, std::string>> candidates;
      for (const auto& [id, entry] : images_) {
        const bool used = last_use_[id] > asked || std::find(in_use.begin(), in_use.end(), id) != in_use.end();
        const bool kept = !entry.image->pulled && !entry.image->tags.empty();
        if (!used && !kept) candidates.emplace_back(used_[id], id);
      }
      std::sort(candidates.begin(), candidates.end());
      std::vector<std::string> unused;
      std::int64_t freed = 0;
      for (const auto& [used, id] : candidates) {
        if (freed >= bytes) break;
        freed += images_[id].image->size_bytes;
        unused.push_back(id);
      }
      forget(unused, [freed, done = std::move(done)](const Status& gone) {
        done(gone.ok() ? Result<std::int64_t>(freed) : gone.error());
      });
    });
  }

  void touch(const std::string& id) override {
    if (images_.contains(id)) note_use(id);
  }

 private:
  using PullDone = Function<void(Result<std::shared_ptr<const Image>>)>;
  using Found = Result<std::vector<std::shared_ptr<const Image>>>;

  // Changes of the index follow each other: each is on disk, or has failed, before the next one begins. A turn ends
  // with save() or end_turn().
  void in_turn(Task turn) {
    turns_.push_back(std::move(turn));
    if (turns_.size() == 1) begin_turn();
  }
  void begin_turn() {
    runtime_.post([this, alive = lifetime_.guard()] {
      if (!alive) return;
      Task turn = std::move(turns_.front());  // its place stays, until it ends
      turn();
    });
  }
  void end_turn() {
    turns_.pop_front();
    if (!turns_.empty()) begin_turn();
  }

  Result<std::int64_t> room_left() const {
    BERTH_ASSIGN(RootedDir root, RootedDir::open(root_));
    BERTH_ASSIGN(DiskRoom room, DiskRoom::of(root.fd(), root_));
    return room.bytes();
  }

  void note_use(const std::string& id) {
    used_[id] = runtime_.now();
    last_use_[id] = ++uses_;
  }

  std::string fresh_work() { return root_ + "/tmp/" + std::to_string(++works_); }

  // For the pool: skopeo writes a docker-archive, which is then imported.
  Result<std::vector<Imported>> fetch(const std::string& name, const std::vector<PullCredentials>& credentials,
                                      const std::string& work) {
    std::string archive = work + ".tar";
    Error last = error(Code::kUnavailable, "no attempt was made");
    std::vector<PullCredentials> attempts = credentials;
    attempts.push_back({});  // and without credentials
    for (const PullCredentials& one : attempts) {
      Command command;
      if (!pull_network_.empty()) command.argv = {"nsenter", "--net=" + pull_network_};
      BERTH_ASSIGN(std::int64_t room, room_left());
      // Layers that it keeps for a while lie with the rest of the pull, and no file of it fills the disk.
      for (const std::string& word : {std::string("env"), "TMPDIR=" + root_ + "/tmp", std::string("prlimit"),
                                      "--fsize=" + std::to_string(room), std::string("--")})
        command.argv.push_back(word);
      for (const char* word : {"skopeo", "copy", "--quiet", "--insecure-policy"}) command.argv.emplace_back(word);
      if (is_local_registry(name)) command.argv.emplace_back("--src-tls-verify=false");
      std::string auth_file = work + ".auth";
      if (!one.user.empty()) {
        std::string host = name.substr(0, name.find('/'));
        Value auth = Value::object(
            {{"auths",
              Value::object({{host, Value::object({{"auth", base64_encode(one.user + ":" + one.password)}})}})}});
        BERTH_TRY(write_file(auth_file, json::encode(auth), 0600));
        command.argv.push_back("--authfile=" + auth_file);
      }
      command.argv.push_back("docker://" + name);
      command.argv.push_back("docker-archive:" + archive);
      command.timeout = kPullPatience;
      Result<Finished> finished = run_command(command);
      ::unlink(auth_file.c_str());
      if (!finished.ok()) return finished.error();
      if (finished->ok()) {
        Result<std::vector<Imported>> imported = Importer(root_, work).run(archive, name);
        ::unlink(archive.c_str());
        return imported;
      }
      ::unlink(archive.c_str());
      last = finished->timed_out
                 ? error(Code::kTimeout, "failed to pull image \"" + name + "\": no end after 15 minutes")
                 : pull_error(name, finished->standard_error);
      if (last.code != Code::kForbidden) break;
    }
    return last;
  }

  void enter(Result<std::vector<Imported>> imported, Function<void(Found)> done) {
    if (!imported.ok()) return done(imported.error());
    in_turn([this, imported = std::move(*imported), done = std::move(done)]() mutable {
      enter_now(imported, std::move(done));
    });
  }

  // find() returns an image only after the index on disk has it.
  void enter_now(const std::vector<Imported>& imported, Function<void(Found)> done) {
    for (const Imported& one : imported) {
      // A layer that was here when the import began may have gone with the last image that had it.
      for (const std::string& layer : layer_paths(one.diff_ids)) {
        if (path_exists(layer)) continue;
        end_turn();
        return done(error(Code::kUnavailable, "layer " + layer + " was removed meanwhile; try again"));
      }
    }
    Images next = images_;
    std::vector<std::shared_ptr<const Image>> entered;
    std::set<std::string> brought;
    for (const Imported& one : imported) {
      entered.push_back(enter_one(one, next));
      brought.insert(one.diff_ids.begin(), one.diff_ids.end());
      note_use(one.id);
    }
    save(next, {},
         [this, next, brought = std::move(brought), entered = std::move(entered),
          done = std::move(done)](const Status& saved) mutable {
           if (saved.ok()) {
             images_ = std::move(next);
             return done(std::move(entered));
           }
           // Without an index entry the layers are of no use: free their space, the disk may be full.
           for (const std::string& layer : unneeded(brought)) discard(layer);
           done(saved.error());
         });
  }

  std::shared_ptr<const Image> enter_one(const Imported& one, Images& images) const {
    for (auto& [id, entry] : images) {  // a tag names one image only
      Image other = *entry.image;
      auto taken = [&](const std::string& tag) {
        return std::find(one.tags.begin(), one.tags.end(), tag) != one.tags.end();
      };
      if (std::erase_if(other.tags, taken) > 0) entry.image = std::make_shared<Image>(other);
    }
    Image image;
    image.pulled = one.pulled;
    if (auto known = images.find(one.id); known != images.end()) {
      image = *known->second.image;
      image.pulled = image.pulled && one.pulled;
    }
    image.id = one.id;
    image.tags.insert(image.tags.end(), one.tags.begin(), one.tags.end());
    for (const std::string& digest : one.digests) {
      if (std::find(image.digests.begin(), image.digests.end(), digest) == image.digests.end())
        image.digests.push_back(digest);
    }
    image.config = one.config;
    image.size_bytes = one.size;
    image.layers = layer_paths(one.diff_ids);
    images[one.id] = Entry{std::make_shared<Image>(image), one.diff_ids};
    return images[one.id].image;
  }

  // Those of `diff_ids` that no image has, as paths.
  std::vector<std::string> unneeded(std::set<std::string> diff_ids) const {
    for (const auto& [id, entry] : images_) {
      for (const std::string& diff_id : entry.diff_ids) diff_ids.erase(diff_id);
    }
    return layer_paths({diff_ids.begin(), diff_ids.end()});
  }

  std::vector<std::string> layer_paths(const std::vector<std::string>& diff_ids) const {
    std::vector<std::string> out;
    for (const std::string& diff_id : diff_ids) out.push_back(root_ + "/layers/" + hex_of(diff_id));
    return out;
  }

  void restore(const Value& row) {
    Entry entry;
    Image image;
    image.id = row["id"].str();
    if (!is_digest(image.id)) return;
    for (const Value& tag : row["tags"]) image.tags.push_back(tag.str());
    for (const Value& digest : row["digests"]) image.digests.push_back(digest.str());
    for (const Value& diff_id : row["diffIDs"]) {
      if (!is_digest(diff_id.as_string())) {
        log_warning("images", "a layer has no name that it can have: the image is forgotten",
                    {{"image", image.id}, {"layer", diff_id.str()}});
        return;
      }
      entry.diff_ids.push_back(diff_id.str());
    }
    image.size_bytes = row["size"].as_int();
    image.pulled = row["pulled"].as_bool(!image.digests.empty());  // earlier releases do not say it
    image.config = row["config"];
    image.layers = layer_paths(entry.diff_ids);
    for (const std::string& layer : image.layers) {
      if (!path_exists(layer)) {
        log_warning("images", "a layer is missing: the image is forgotten", {{"image", image.id}, {"layer", layer}});
        return;
      }
    }
    if (Result<Time> used = parse_time(row["used"].as_string()); used.ok()) used_[image.id] = *used;
    entry.image = std::make_shared<Image>(image);
    images_[image.id] = entry;
  }

  std::string index_of(const Images& images) {
    Value rows = Value::array();
    auto strings = [](const std::vector<std::string>& list) {
      Value out = Value::array();
      for (const std::string& text : list) out.push(text);
      return out;
    };
    for (const auto& [id, entry] : images) {
      rows.push(Value::object({{"id", id},
                               {"tags", strings(entry.image->tags)},
                               {"digests", strings(entry.image->digests)},
                               {"diffIDs", strings(entry.diff_ids)},
                               {"size", static_cast<long>(entry.image->size_bytes)},
                               {"pulled", entry.image->pulled},
                               {"used", format_time(used_[id])},
                               {"config", entry.image->config}}));
    }
    return json::encode(Value::object({{"images", rows}}));
  }

  // A thread writes the index (after a crash it is the old or the new one), then removes `layers`. If there is no space
  // even for a smaller index, it removes the layers first: open_image_store() forgets an image without its layers.
  void save(const Images& images, std::vector<std::string> layers, Function<void(const Status&)> saved) {
    auto status = std::make_shared<Status>();
    auto done = std::make_shared<Function<void(const Status&)>>(std::move(saved));
    std::vector<std::string> moved(layers.size());
    for (std::string& name : moved) name = fresh_work() + "-gone";
    index_.submit(
        [file = root_ + "/images.json", text = index_of(images), layers, moved, status] {
          fault::step("images.index");
          *status = write_file_durably(file, text);
          if (!status->ok() && layers.empty()) return;
          for (std::size_t i = 0; i < layers.size(); ++i) (void)move_away(layers[i], moved[i]);
          if (status->ok()) return;
          for (const std::string& layer : moved) (void)remove_all(layer);
          log_warning("images", "removed an image although the index could not be written",
                      {{"reason", status->error().message}});
          (void)write_file_durably(file, text);
          *status = ok_status();
        },
        [this, alive = lifetime_.guard(), status, done, moved] {
          if (!alive) return;
          // A layer may have many files, and the next turn has other things to do. What is not removed goes when the
          // store is opened next.
          for (const std::string& layer : moved) threads_.submit([layer] { (void)remove_all(layer); }, [] {});
          (*done)(*status);
          end_turn();
        });
  }

  // First the index entries, then the layers that no other image has: a crash in between leaves unused layers, never an
  // image without layers.
  void forget(const std::vector<std::string>& ids, Function<void(Status)> done) {
    Images gone;
    std::set<std::string> diff_ids;
    for (const std::string& id : ids) {
      auto image = images_.extract(id);
      diff_ids.insert(image.mapped().diff_ids.begin(), image.mapped().diff_ids.end());
      gone.insert(std::move(image));
    }
    if (gone.empty()) {
      end_turn();
      return done(ok_status());
    }
    save(images_, unneeded(std::move(diff_ids)), [this, gone, done = std::move(done)](const Status& saved) mutable {
      for (const auto& [id, entry] : gone) {
        if (saved.ok()) {
          used_.erase(id);
          last_use_.erase(id);
          (void)remove_all(root_ + "/blobs/sha256/" + hex_of(id));
        }
      }
      if (!saved.ok()) images_.merge(gone);
      done(saved);
    });
  }

  static Status move_away(const std::string& layer, const std::string& to) {
    if (::rename(layer.c_str(), to.c_str()) != 0 && errno != ENOENT) return errno_error("removing " + layer);
    return {};
  }

  // Moved away at once, removed by a thread.
  void discard(const std::string& layer) {
    std::string gone = fresh_work() + "-gone";
    if (move_away(layer, gone).ok()) threads_.submit([gone] { (void)remove_all(gone); }, [] {});
  }

  Runtime& runtime_;
  std::string root_, pull_network_;
  Images images_;                     // as the index on disk has them, but for those that are being forgotten
  std::map<std::string, Time> used_;  // by id
  std::map<std::string, std::uint64_t> last_use_;  // by id: which of the uses_ it was; clocks can be set back
  std::uint64_t uses_ = 0;
  std::deque<Task> turns_;  // the first one is under way
  std::map<std::string, std::vector<PullDone>> pulls_;
  int works_ = 0;
  Lifetime lifetime_;
  // The pools are the last members, so that their threads end before what they work with.
  ThreadPool threads_{runtime_,
                      kImagesAtOnce};  // a registry that does not answer, or a large layer, holds up nothing but images
  ThreadPool index_{runtime_, 1};      // waits for the disk, but for no pull
};

}  // namespace

Result<std::unique_ptr<ImageStore>> open_image_store(Runtime& runtime, const std::string& root,
                                                     const std::string& pull_network) {
  auto store = std::make_unique<FileImageStore>(runtime, root, pull_network);
  BERTH_TRY(store->open());
  return std::unique_ptr<ImageStore>(std::move(store));
}

}  // namespace berth::agent
