#include "base/fs/bounded_read.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/files.h"

namespace berth {
namespace {

struct OpenFile {
  Fd fd;
  std::int64_t length = 0;
};

Result<OpenFile> open_regular(const std::string& path) {
  OpenFile file;
  // O_NONBLOCK: opening a named pipe without a writer does not block.
  file.fd = Fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!file.fd)
    return errno == ENOENT ? error(Code::kNotFound, "there is no file " + path) : errno_error("opening " + path);
  struct stat info {};
  if (::fstat(file.fd.get(), &info) != 0) return errno_error("reading " + path);
  if (!S_ISREG(info.st_mode)) return error(Code::kInternal, path + " is no regular file");
  file.length = info.st_size;
  return file;
}

Result<std::string> read_open(const OpenFile& file, const std::string& path, std::int64_t from, std::size_t limit) {
  const std::int64_t there = std::max<std::int64_t>(0, file.length - from);
  std::string text(std::min(limit, static_cast<std::size_t>(there)), '\0');
  std::size_t have = 0;
  while (have < text.size()) {
    ssize_t n = ::pread(file.fd.get(), text.data() + have, text.size() - have, from + static_cast<std::int64_t>(have));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno_error("reading " + path);
    if (n == 0) break;  // cut meanwhile
    have += static_cast<std::size_t>(n);
  }
  text.resize(have);
  return text;
}

}  // namespace

Result<std::string> read_part(const std::string& path, std::int64_t from, std::size_t limit) {
  BERTH_ASSIGN(OpenFile file, open_regular(path));
  return read_open(file, path, from, limit);
}

Result<std::string> read_start(const std::string& path, std::size_t limit) { return read_part(path, 0, limit); }

Result<std::string> read_end(const std::string& path, std::size_t limit) {
  BERTH_ASSIGN(OpenFile file, open_regular(path));
  return read_open(file, path, std::max<std::int64_t>(0, file.length - static_cast<std::int64_t>(limit)), limit);
}

Result<std::int64_t> file_length(const std::string& path) {
  BERTH_ASSIGN(OpenFile file, open_regular(path));
  return file.length;
}

}  // namespace berth
