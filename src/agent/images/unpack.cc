#include "agent/images/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <memory>

#include "agent/images/layer_writer.h"
#include "base/text.h"

namespace berth::agent {
namespace {

constexpr std::size_t kBlock = 256 * 1024;
constexpr int kMostNestedIndexes = 3;
// Entries that replace each other, and zeros, use no space of the disk, but time. No real layer has as many entries,
// and gzip compresses to a thousandth at best.
constexpr std::int64_t kMostEntries = 4'000'000;
constexpr std::int64_t kMostGrowth = 2000, kFreeGrowth = 256 << 20;
constexpr std::size_t kLongestDocuments = 16 * kLongestDocument;

struct CloseReader {
  void operator()(archive* a) const { archive_read_free(a); }
};
using Reader = std::unique_ptr<archive, CloseReader>;

Error damaged(const std::string& file, archive* reader) {
  const char* why = archive_error_string(reader);
  return error(Code::kInvalid, file + " is damaged or no archive: " + (why != nullptr ? why : "unexpected end"));
}

Error escapes(const std::string& file, std::string_view path) {
  return error(Code::kInvalid, file + ": entry " + quoted(path) + " leads out of the image");
}

// Only what images are compressed with: some of libarchive's other filters run programs.
void take_filters(archive* reader) {
  archive_read_support_filter_gzip(reader);
  archive_read_support_filter_bzip2(reader);
  archive_read_support_filter_xz(reader);
  archive_read_support_filter_zstd(reader);
}

// The decompressed bytes of a layer, hashed as they are handed on.
class LayerStream {
 public:
  // No more bytes are handed on than `room` (of the disk) and than a file of `size` bytes can hold in earnest.
  static Result<std::unique_ptr<LayerStream>> open(Fd file, std::string name, std::int64_t size, std::int64_t room) {
    std::int64_t most =
        size < std::numeric_limits<std::int64_t>::max() / (2 * kMostGrowth) ? kFreeGrowth + kMostGrowth * size : room;
    std::unique_ptr<LayerStream> self(new LayerStream(std::move(file), std::move(name), std::min(most, room), room));
    archive* raw = self->raw_.get();
    take_filters(raw);
    archive_read_support_format_raw(raw);
    archive_read_support_format_empty(raw);
    archive_entry* entry = nullptr;
    if (archive_read_open_fd(raw, self->file_.get(), kBlock) != ARCHIVE_OK) return damaged(self->name_, raw);
    int state = archive_read_next_header(raw, &entry);
    if (state != ARCHIVE_EOF && state < ARCHIVE_WARN) return damaged(self->name_, raw);
    self->ended_ = state == ARCHIVE_EOF;
    EVP_DigestInit_ex(self->digest_.get(), EVP_sha256(), nullptr);
    return self;
  }

  // For archive_read_callback: 0 at the end, negative on failure (failure() has the reason).
  la_ssize_t next(const void** block) {
    if (ended_ || failure_) return failure_ ? -1 : 0;
    la_ssize_t size = archive_read_data(raw_.get(), block_.data(), block_.size());
    if (size < 0) {
      failure_ = damaged(name_, raw_.get());
      return -1;
    }
    ended_ = size == 0;
    handed_on_ += size;
    if (handed_on_ > limit_) {
      std::string has = name_ + " has more than " + std::to_string(limit_) + " bytes when decompressed";
      failure_ = limit_ == room_ ? error(Code::kUnavailable, "no room for the image: " + has + ", and so many are free")
                                 : error(Code::kInvalid, has + ", the most that is accepted of a file of its size");
      return -1;
    }
    EVP_DigestUpdate(digest_.get(), block_.data(), static_cast<std::size_t>(size));
    *block = block_.data();
    return size;
  }
  const std::optional<Error>& failure() const { return failure_; }

  // Of all bytes of the file; reads those first that libarchive has not read.
  Result<std::string> digest() {
    const void* block = nullptr;
    while (next(&block) > 0) {}
    if (failure_) return *failure_;
    unsigned char bytes[32];
    EVP_DigestFinal_ex(digest_.get(), bytes, nullptr);
    return "sha256:" + hex_encode(std::string_view(reinterpret_cast<char*>(bytes), sizeof bytes));
  }

 private:
  LayerStream(Fd file, std::string name, std::int64_t limit, std::int64_t room)
      : file_(std::move(file)), name_(std::move(name)), limit_(limit), room_(room) {}

  Fd file_;
  std::string name_;
  const std::int64_t limit_, room_;
  std::int64_t handed_on_ = 0;
  bool ended_ = false;
  std::optional<Error> failure_;
  std::string block_ = std::string(kBlock, '\0');
  Reader raw_{archive_read_new()};
  std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> digest_{EVP_MD_CTX_new(), EVP_MD_CTX_free};
};

la_ssize_t read_block(archive* reader, void* stream, const void** block) {
  auto* from = static_cast<LayerStream*>(stream);
  la_ssize_t size = from->next(block);
  if (size < 0) archive_set_error(reader, EIO, "%s", from->failure()->message.c_str());
  return size;
}

Status write_entries(LayerStream& stream, const std::string& name, LayerWriter& writer) {
  Reader reader(archive_read_new());
  archive_read_support_format_tar(reader.get());
  archive_read_support_format_empty(reader.get());
  if (archive_read_open(reader.get(), &stream, nullptr, read_block, nullptr) != ARCHIVE_OK)
    return damaged(name, reader.get());
  for (std::int64_t entries = 0;; ++entries) {
    archive_entry* entry = nullptr;
    int state = archive_read_next_header(reader.get(), &entry);
    if (state == ARCHIVE_EOF) return writer.finish();
    if (state < ARCHIVE_WARN) return damaged(name, reader.get());
    if (entries == kMostEntries)
      return error(Code::kInvalid,
                   name + " has more than " + std::to_string(kMostEntries) + " entries, the most that is accepted");
    BERTH_TRY(writer.write(reader.get(), entry));
  }
}

// A member of the outer archive.
Status copy_member(archive* reader, const std::string& archive_name, const RootedDir& directory,
                   const std::string& path, DiskRoom& room) {
  if (std::size_t slash = path.rfind('/'); slash != std::string::npos)
    BERTH_TRY(directory.make_directories(path.substr(0, slash), 0755, RootedDir::Links::kNone));
  BERTH_TRY(directory.remove_file(path, RootedDir::Links::kNone));  // the last of one name counts
  BERTH_ASSIGN(Fd out, directory.create_file(path, 0600, RootedDir::Links::kNone));
  const void* block = nullptr;
  std::size_t size = 0;
  la_int64_t offset = 0;
  for (;;) {
    int state = archive_read_data_block(reader, &block, &size, &offset);
    if (state == ARCHIVE_EOF) return {};
    if (state < ARCHIVE_WARN) return damaged(archive_name, reader);
    if (::pwrite(out.get(), block, size, offset) != static_cast<ssize_t>(size)) return errno_error("writing " + path);
    BERTH_TRY(room.take(static_cast<std::int64_t>(size), 0));
  }
}

Status link_members(const RootedDir& directory, const std::string& archive_name,
                    const std::vector<std::pair<std::string, std::string>>& links) {
  for (const auto& [from, to] : links) {
    std::optional<std::string> target = inner_path(to);
    if (!target || target->empty()) return escapes(archive_name, to);
    if (std::size_t slash = from.rfind('/'); slash != std::string::npos)
      BERTH_TRY(directory.make_directories(from.substr(0, slash), 0755, RootedDir::Links::kNone));
    Status linked = directory.make_hard_link(from, *target, RootedDir::Links::kNone);
    // A link without a target is left out: if the name is needed, reading it fails.
    if (!linked.ok() && !linked.failed_with(Code::kNotFound) && !linked.failed_with(Code::kAlreadyExists))
      return linked;
  }
  return {};
}

Result<Value> parse_document(const std::string& text, std::string_view name) {
  Result<Value> value = json::parse(text);
  if (!value.ok()) return error(Code::kInvalid, std::string(name) + ": " + value.error().message);
  return value;
}

Result<std::string> member(const RootedDir& directory, std::string_view name) {
  std::optional<std::string> path = inner_path(name);
  if (!path || path->empty()) return escapes("manifest", name);
  auto found = directory.stat(*path, RootedDir::Links::kNone);
  if (!found.ok() || !S_ISREG(found->st_mode))
    return error(Code::kInvalid, "the archive names " + quoted(name) + ", which is not in it");
  return *path;
}

Result<std::string> read_member(const RootedDir& directory, std::string_view name) {
  BERTH_ASSIGN(std::string path, member(directory, name));
  Result<std::string> text = directory.read_file(path, kLongestDocument, RootedDir::Links::kNone);
  if (text.failed_with(Code::kTooLarge))
    return error(Code::kInvalid, quoted(name) + " of the archive is larger than " + std::to_string(kLongestDocument) +
                                     " bytes, the most that is accepted");
  return text;
}

Result<std::string> blob(const Value& descriptor) {
  std::string digest = descriptor["digest"].str();
  if (!is_digest(digest))
    return error(Code::kInvalid, "the archive names a blob " + quoted(digest) + ": only sha256 digests are accepted");
  return "blobs/" + replace_all(digest, ":", "/");
}

Result<std::string> read_blob(const RootedDir& directory, const Value& descriptor) {
  BERTH_ASSIGN(std::string name, blob(descriptor));
  BERTH_ASSIGN(std::string text, read_member(directory, name));
  if ("sha256:" + sha256_hex(text) != descriptor["digest"].as_string())
    return error(Code::kInvalid, name + " is damaged: its digest is sha256:" + sha256_hex(text));
  return text;
}

Status check_layers(const Value& layers) {
  if (layers.size() <= kMostLayers) return {};
  return error(Code::kInvalid, "the image has " + std::to_string(layers.size()) + " layers; at most " +
                                   std::to_string(kMostLayers) + " are accepted");
}

Status add_oci_manifest(const RootedDir& directory, const Value& descriptor, int depth, std::vector<FoundImage>& out) {
  BERTH_ASSIGN(std::string text, read_blob(directory, descriptor));
  BERTH_ASSIGN(Value manifest, parse_document(text, "the manifest"));
  if (manifest["manifests"].is_array()) {  // an index of several platforms
    if (depth >= kMostNestedIndexes) return error(Code::kInvalid, "the archive has indexes of indexes without end");
    for (const Value& inner : manifest["manifests"]) {
      std::string_view architecture = inner["platform"]["architecture"].as_string("amd64");
      if (architecture == "amd64") return add_oci_manifest(directory, inner, depth + 1, out);
    }
    return error(Code::kInvalid, "the archive has no image for amd64");
  }
  FoundImage image;
  BERTH_ASSIGN(image.config_text, read_blob(directory, manifest["config"]));
  BERTH_TRY(check_layers(manifest["layers"]));
  for (const Value& layer : manifest["layers"]) {
    BERTH_ASSIGN(std::string name, blob(layer));
    BERTH_ASSIGN(std::string layer_file, member(directory, name));
    image.layer_files.push_back(layer_file);
  }
  image.manifest_digest = descriptor["digest"].str();
  const Value& annotations = descriptor["annotations"];
  std::string name =
      annotations["io.containerd.image.name"].str(annotations["org.opencontainers.image.ref.name"].as_string());
  if (!name.empty()) image.tags.push_back(name);
  out.push_back(std::move(image));
  return ok_status();
}

Status add_docker_image(const RootedDir& directory, const Value& entry, std::vector<FoundImage>& out) {
  FoundImage image;
  BERTH_ASSIGN(image.config_text, read_member(directory, entry["Config"].as_string()));
  BERTH_TRY(check_layers(entry["Layers"]));
  for (const Value& layer : entry["Layers"]) {
    BERTH_ASSIGN(std::string file, member(directory, layer.as_string()));
    image.layer_files.push_back(file);
  }
  for (const Value& tag : entry["RepoTags"]) image.tags.push_back(tag.str());
  out.push_back(std::move(image));
  return {};
}

// Of many images that share one large configuration, each has its own copy.
Status check_total(const std::vector<FoundImage>& images) {
  std::size_t total = 0;
  for (const FoundImage& image : images) total += image.config_text.size();
  if (total <= kLongestDocuments) return {};
  return error(Code::kInvalid, "the configurations of the archive's images are larger than " +
                                   std::to_string(kLongestDocuments) + " bytes, the most that is accepted");
}

Status check_images(const Value& images) {
  if (images.size() <= kMostImagesInArchive) return {};
  return error(Code::kInvalid, "the archive has " + std::to_string(images.size()) + " images; at most " +
                                   std::to_string(kMostImagesInArchive) + " are accepted");
}

}  // namespace

bool is_digest(std::string_view text) {
  constexpr std::string_view kAlgorithm = "sha256:";
  if (!text.starts_with(kAlgorithm) || text.size() != kAlgorithm.size() + 64) return false;
  return text.find_first_not_of("0123456789abcdef", kAlgorithm.size()) == std::string_view::npos;
}

Status extract_files(const std::string& archive_file, const RootedDir& directory) {
  Reader reader(archive_read_new());
  take_filters(reader.get());
  archive_read_support_format_tar(reader.get());
  if (archive_read_open_filename(reader.get(), archive_file.c_str(), kBlock) != ARCHIVE_OK)
    return damaged(archive_file, reader.get());
  BERTH_ASSIGN(DiskRoom room, DiskRoom::of(directory.fd(), directory.shown()));
  std::vector<std::pair<std::string, std::string>> links;
  for (;;) {
    archive_entry* entry = nullptr;
    int state = archive_read_next_header(reader.get(), &entry);
    if (state == ARCHIVE_EOF) break;
    if (state < ARCHIVE_WARN) return damaged(archive_file, reader.get());
    const char* raw = archive_entry_pathname(entry);
    std::optional<std::string> path = raw != nullptr ? inner_path(raw) : std::nullopt;
    if (!path) return escapes(archive_file, raw != nullptr ? raw : "");
    if (path->empty()) continue;
    BERTH_TRY(room.take(0, 1));
    if (archive_entry_filetype(entry) == AE_IFREG && archive_entry_hardlink(entry) == nullptr) {
      BERTH_TRY(copy_member(reader.get(), archive_file, directory, *path, room));
    } else if (archive_entry_filetype(entry) == AE_IFLNK && archive_entry_symlink(entry) != nullptr) {
      std::size_t slash = path->rfind('/');
      std::string base = slash == std::string::npos ? "" : path->substr(0, slash);
      std::string target = archive_entry_symlink(entry);
      if (target.starts_with("../")) {
        target = target.substr(3);
        base.clear();
      }
      if (links.size() >= kMostLayers * kMostImagesInArchive)
        return error(Code::kInvalid, archive_file + " has too many links");
      links.emplace_back(*path, base.empty() ? target : base + "/" + target);
    }
  }
  return link_members(directory, archive_file, links);
}

Status unpack_layer(const RootedDir& files, const std::string& layer, const std::string& diff_id,
                    const RootedDir& directory, const RootedDir& layers, const std::vector<std::string>& below) {
  std::string name = "layer " + layer.substr(layer.rfind('/') + 1);
  BERTH_ASSIGN(Fd file, files.open(layer, O_RDONLY, RootedDir::Links::kNone));
  BERTH_ASSIGN(DiskRoom room, DiskRoom::of(directory.fd(), directory.shown()));
  struct stat at {};
  if (::fstat(file.get(), &at) != 0) return errno_error("looking at " + name);
  BERTH_ASSIGN(auto stream, LayerStream::open(std::move(file), name, std::int64_t{at.st_size}, room.bytes()));
  LayerWriter writer(directory, layers, below, room, name);
  Status written = write_entries(*stream, name, writer);
  if (stream->failure()) return *stream->failure();
  if (!written.ok()) return written;
  BERTH_ASSIGN(std::string found, stream->digest());
  if (found == diff_id) return {};
  return error(Code::kInvalid, name + " is not the one its image names: expected " + diff_id + ", found " + found);
}

Result<std::vector<FoundImage>> find_images(const RootedDir& directory) {
  std::vector<FoundImage> out;
  if (directory.stat("manifest.json").ok()) {
    BERTH_ASSIGN(std::string text, read_member(directory, "manifest.json"));
    BERTH_ASSIGN(Value manifest, parse_document(text, "manifest.json"));
    BERTH_TRY(check_images(manifest));
    for (const Value& entry : manifest) {
      BERTH_TRY(add_docker_image(directory, entry, out));
      BERTH_TRY(check_total(out));
    }
  } else if (directory.stat("index.json").ok()) {
    BERTH_ASSIGN(std::string text, read_member(directory, "index.json"));
    BERTH_ASSIGN(Value index, parse_document(text, "index.json"));
    BERTH_TRY(check_images(index["manifests"]));
    for (const Value& descriptor : index["manifests"]) {
      BERTH_TRY(add_oci_manifest(directory, descriptor, 0, out));
      BERTH_TRY(check_total(out));
    }
  }
  if (out.empty()) return error(Code::kInvalid, "neither manifest.json (docker-archive) nor index.json (OCI) is in it");
  return out;
}

}  // namespace berth::agent
