#pragma once
// Files and descriptors. Everything here may block: call from the pool, or where the file is known to be small and
// local.

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace berth {

// Owns one descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(other.release()) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) reset(other.release());
    return *this;
  }
  ~Fd() { reset(); }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release() {
    int fd = fd_;
    fd_ = -1;
    return fd;
  }
  void reset(int fd = -1);

 private:
  int fd_ = -1;
};

Result<std::string> read_file(const std::string& path);  // kNotFound where there is none
// Written beside, fsynced, renamed over, directory fsynced: after a crash the old or the new content is there, whole.
Status write_file_durably(const std::string& path, std::string_view content, unsigned mode = 0600);
// The same without fsync, for what may be lost with the machine (tmpfs, caches).
Status write_file(const std::string& path, std::string_view content, unsigned mode = 0644);
// That `path` was made, renamed or removed is on disk then.
Status sync_directory_of(const std::string& path);
Status make_directories(const std::string& path, unsigned mode = 0755);  // existing ones are fine
Status remove_all(const std::string& path);  // nothing there is fine; does not cross mounts, does not follow links
// The same of an entry of the directory that `parent` is open for. `shown` names it in messages.
Status remove_tree_at(int parent, const std::string& name, const std::string& shown);
bool path_exists(const std::string& path);
Result<std::vector<std::string>> list_directory(const std::string& path);  // names, sorted, without . and ..

}  // namespace berth
