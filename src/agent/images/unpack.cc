#include "agent/images/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstring>
#include <memory>

#include "base/files.h"
#include "base/text.h"

namespace berth::agent {
namespace {

constexpr std::size_t kBlock = 256 * 1024;

struct CloseReader {
  void operator()(archive* a) const { archive_read_free(a); }
};
struct CloseWriter {
  void operator()(archive* a) const { archive_write_free(a); }
};
using Reader = std::unique_ptr<archive, CloseReader>;
using Writer = std::unique_ptr<archive, CloseWriter>;

Error damaged(const std::string& file, archive* reader) {
  const char* why = archive_error_string(reader);
  return error(Code::kInvalid, file + " is damaged or no archive: " + (why != nullptr ? why : "unexpected end"));
}

Result<Reader> open_tar(const std::string& file, bool raw) {
  Reader reader(archive_read_new());
  archive_read_support_filter_all(reader.get());
  if (raw) {
    archive_read_support_format_raw(reader.get());
    archive_read_support_format_empty(reader.get());
  } else {
    archive_read_support_format_tar(reader.get());
  }
  if (archive_read_open_filename(reader.get(), file.c_str(), kBlock) != ARCHIVE_OK) return damaged(file, reader.get());
  return reader;
}

// "./a/b/" -> "a/b"; nothing where the path is absolute or climbs out.
std::optional<std::string> inner_path(std::string_view raw) {
  std::vector<std::string> parts;
  if (raw.starts_with("/")) return std::nullopt;
  for (std::string_view part : split(raw, '/')) {
    if (part.empty() || part == ".") continue;
    if (part == "..") return std::nullopt;
    parts.emplace_back(part);
  }
  return join(parts, "/");
}

Error escapes(const std::string& file, const char* path) {
  return error(Code::kInvalid, file + ": entry " + quoted(path != nullptr ? path : "") + " leads out of the image");
}

Status copy_data(archive* reader, const std::string& archive_name, const std::string& to) {
  std::size_t slash = to.rfind('/');
  BERTH_TRY(make_directories(to.substr(0, slash)));
  Fd out(::open(to.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!out) return errno_error("writing " + to);
  const void* block = nullptr;
  std::size_t size = 0;
  la_int64_t offset = 0;
  for (;;) {
    int state = archive_read_data_block(reader, &block, &size, &offset);
    if (state == ARCHIVE_EOF) return ok_status();
    if (state < ARCHIVE_WARN) return damaged(archive_name, reader);
    if (::pwrite(out.get(), block, size, offset) != static_cast<ssize_t>(size)) return errno_error("writing " + to);
  }
}

// Decompresses into `to` and answers with the sha256 of what came out.
Result<std::string> decompress(const std::string& from, const std::string& to) {
  BERTH_ASSIGN(Reader reader, open_tar(from, true));
  archive_entry* entry = nullptr;
  std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> digest(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  EVP_DigestInit_ex(digest.get(), EVP_sha256(), nullptr);
  Fd out(::open(to.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!out) return errno_error("writing " + to);
  int state = archive_read_next_header(reader.get(), &entry);
  if (state < ARCHIVE_WARN) return damaged(from, reader.get());
  std::string block(kBlock, '\0');
  while (state != ARCHIVE_EOF) {
    la_ssize_t size = archive_read_data(reader.get(), block.data(), block.size());
    if (size < 0) return damaged(from, reader.get());
    if (size == 0) break;
    EVP_DigestUpdate(digest.get(), block.data(), static_cast<std::size_t>(size));
    if (::write(out.get(), block.data(), static_cast<std::size_t>(size)) != size) return errno_error("writing " + to);
  }
  unsigned char bytes[32];
  EVP_DigestFinal_ex(digest.get(), bytes, nullptr);
  return "sha256:" + hex_encode(std::string_view(reinterpret_cast<char*>(bytes), sizeof bytes));
}

// Layers mark what they take away; overlayfs has its own form of that. True: the entry was such a mark.
Result<bool> apply_whiteout(const std::string& directory, const std::string& path) {
  std::size_t slash = path.rfind('/');
  std::string parent = slash == std::string::npos ? directory : directory + "/" + path.substr(0, slash);
  std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  if (!name.starts_with(".wh.")) return false;
  BERTH_TRY(make_directories(parent));
  if (name == ".wh..wh..opq") {
    if (::setxattr(parent.c_str(), "trusted.overlay.opaque", "y", 1, 0) != 0) return errno_error("marking " + parent + " opaque");
    return true;
  }
  std::string hidden = parent + "/" + name.substr(4);
  if (::mknod(hidden.c_str(), S_IFCHR, makedev(0, 0)) != 0 && errno != EEXIST) return errno_error("hiding " + hidden);
  return true;
}

Status write_entry(archive* reader, archive* writer, archive_entry* entry, const std::string& layer) {
  if (archive_write_header(writer, entry) < ARCHIVE_WARN) {
    return error(Code::kInternal, "unpacking " + layer + ": " + std::string(archive_error_string(writer)));
  }
  const void* block = nullptr;
  std::size_t size = 0;
  la_int64_t offset = 0;
  for (;;) {
    int state = archive_read_data_block(reader, &block, &size, &offset);
    if (state == ARCHIVE_EOF) break;
    if (state < ARCHIVE_WARN) return damaged(layer, reader);
    if (archive_write_data_block(writer, block, size, offset) < ARCHIVE_WARN) {
      return error(Code::kInternal, "unpacking " + layer + ": " + std::string(archive_error_string(writer)));
    }
  }
  if (archive_write_finish_entry(writer) < ARCHIVE_WARN) {
    return error(Code::kInternal, "unpacking " + layer + ": " + std::string(archive_error_string(writer)));
  }
  return ok_status();
}

Status unpack_tar(const std::string& tar, const std::string& directory) {
  BERTH_ASSIGN(Reader reader, open_tar(tar, false));
  Writer writer(archive_write_disk_new());
  archive_write_disk_set_options(writer.get(), ARCHIVE_EXTRACT_PERM | ARCHIVE_EXTRACT_OWNER | ARCHIVE_EXTRACT_TIME | ARCHIVE_EXTRACT_XATTR |
                                                   ARCHIVE_EXTRACT_ACL | ARCHIVE_EXTRACT_UNLINK | ARCHIVE_EXTRACT_SECURE_SYMLINKS |
                                                   ARCHIVE_EXTRACT_SECURE_NODOTDOT);
  for (;;) {
    archive_entry* entry = nullptr;
    int state = archive_read_next_header(reader.get(), &entry);
    if (state == ARCHIVE_EOF) break;
    if (state < ARCHIVE_WARN) return damaged(tar, reader.get());
    std::optional<std::string> path = inner_path(archive_entry_pathname(entry));
    if (!path) return escapes(tar, archive_entry_pathname(entry));
    if (path->empty()) continue;
    BERTH_ASSIGN(bool whiteout, apply_whiteout(directory, *path));
    if (whiteout) continue;
    archive_entry_set_pathname(entry, (directory + "/" + *path).c_str());
    if (const char* link = archive_entry_hardlink(entry); link != nullptr) {
      std::optional<std::string> target = inner_path(link);
      if (!target) return escapes(tar, link);
      archive_entry_set_hardlink(entry, (directory + "/" + *target).c_str());
    }
    BERTH_TRY(write_entry(reader.get(), writer.get(), entry, tar));
  }
  if (archive_write_close(writer.get()) < ARCHIVE_WARN) return error(Code::kInternal, "unpacking: " + std::string(archive_error_string(writer.get())));
  return ok_status();
}

Result<Value> read_json(const std::string& path) {
  BERTH_ASSIGN(std::string text, read_file(path));
  Result<Value> value = json::parse(text);
  if (!value.ok()) return error(Code::kInvalid, path.substr(path.rfind('/') + 1) + ": " + value.error().message);
  return value;
}

Result<std::string> member(const std::string& directory, std::string_view name) {
  std::optional<std::string> path = inner_path(name);
  if (!path || path->empty()) return escapes("manifest", std::string(name).c_str());
  std::string file = directory + "/" + *path;
  if (!path_exists(file)) return error(Code::kInvalid, "the archive names " + quoted(name) + ", which is not in it");
  return file;
}

Result<std::string> blob(const std::string& directory, const Value& descriptor) {
  std::string digest = replace_all(descriptor["digest"].str(), ":", "/");
  return member(directory, "blobs/" + digest);
}

Status add_oci_manifest(const std::string& directory, const Value& descriptor, std::vector<FoundImage>& out) {
  BERTH_ASSIGN(std::string file, blob(directory, descriptor));
  BERTH_ASSIGN(Value manifest, read_json(file));
  if (manifest["manifests"].is_array()) {  // an index of several platforms
    for (const Value& inner : manifest["manifests"]) {
      std::string_view architecture = inner["platform"]["architecture"].as_string("amd64");
      if (architecture == "amd64") return add_oci_manifest(directory, inner, out);
    }
    return error(Code::kInvalid, "the archive has no image for amd64");
  }
  FoundImage image;
  BERTH_ASSIGN(image.config_file, blob(directory, manifest["config"]));
  for (const Value& layer : manifest["layers"]) {
    BERTH_ASSIGN(std::string layer_file, blob(directory, layer));
    image.layer_files.push_back(layer_file);
  }
  image.manifest_digest = descriptor["digest"].str();
  const Value& annotations = descriptor["annotations"];
  std::string name = annotations["io.containerd.image.name"].str(annotations["org.opencontainers.image.ref.name"].as_string());
  if (!name.empty()) image.tags.push_back(name);
  out.push_back(std::move(image));
  return ok_status();
}

}  // namespace

Status extract_files(const std::string& archive_file, const std::string& directory) {
  BERTH_ASSIGN(Reader reader, open_tar(archive_file, false));
  std::vector<std::pair<std::string, std::string>> links;
  for (;;) {
    archive_entry* entry = nullptr;
    int state = archive_read_next_header(reader.get(), &entry);
    if (state == ARCHIVE_EOF) break;
    if (state < ARCHIVE_WARN) return damaged(archive_file, reader.get());
    std::optional<std::string> path = inner_path(archive_entry_pathname(entry));
    if (!path) return escapes(archive_file, archive_entry_pathname(entry));
    if (path->empty()) continue;
    if (archive_entry_filetype(entry) == AE_IFREG && archive_entry_hardlink(entry) == nullptr) {
      BERTH_TRY(copy_data(reader.get(), archive_file, directory + "/" + *path));
    } else if (archive_entry_filetype(entry) == AE_IFLNK) {
      std::size_t slash = path->rfind('/');
      std::string base = slash == std::string::npos ? "" : path->substr(0, slash);
      std::string target = archive_entry_symlink(entry);
      if (target.starts_with("../")) {
        target = target.substr(3);
        base.clear();
      }
      links.emplace_back(*path, base.empty() ? target : base + "/" + target);
    }
  }
  for (const auto& [from, to] : links) {
    std::optional<std::string> target = inner_path(to);
    if (!target) return escapes(archive_file, to.c_str());
    BERTH_TRY(make_directories((directory + "/" + from).substr(0, (directory + "/" + from).rfind('/'))));
    (void)!::link((directory + "/" + *target).c_str(), (directory + "/" + from).c_str());
  }
  return ok_status();
}

Status unpack_layer(const std::string& layer, const std::string& diff_id, const std::string& directory, const std::string& work) {
  std::string plain = work + "/layer.tar";
  BERTH_ASSIGN(std::string found, decompress(layer, plain));
  if (found != diff_id) {
    return error(Code::kInvalid, "layer " + layer.substr(layer.rfind('/') + 1) + " is not the one its image names: expected " + diff_id + ", found " + found);
  }
  BERTH_TRY(make_directories(directory));
  Status unpacked = unpack_tar(plain, directory);
  ::unlink(plain.c_str());
  return unpacked;
}

Result<std::vector<FoundImage>> find_images(const std::string& directory) {
  std::vector<FoundImage> out;
  if (path_exists(directory + "/manifest.json")) {
    BERTH_ASSIGN(Value manifest, read_json(directory + "/manifest.json"));
    for (const Value& entry : manifest) {
      FoundImage image;
      BERTH_ASSIGN(image.config_file, member(directory, entry["Config"].as_string()));
      for (const Value& layer : entry["Layers"]) {
        BERTH_ASSIGN(std::string file, member(directory, layer.as_string()));
        image.layer_files.push_back(file);
      }
      for (const Value& tag : entry["RepoTags"]) image.tags.push_back(tag.str());
      out.push_back(std::move(image));
    }
  } else if (path_exists(directory + "/index.json")) {
    BERTH_ASSIGN(Value index, read_json(directory + "/index.json"));
    for (const Value& descriptor : index["manifests"]) BERTH_TRY(add_oci_manifest(directory, descriptor, out));
  }
  if (out.empty()) return error(Code::kInvalid, "neither manifest.json (docker-archive) nor index.json (OCI) is in it");
  return out;
}

}  // namespace berth::agent
