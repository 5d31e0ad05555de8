#include "base/log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <mutex>

#include "base/files.h"

namespace berth {
namespace {

std::atomic<LogLevel> minimum{LogLevel::kInfo};
std::atomic<bool> to_file{false};

struct LogFile {
  std::mutex mutex;
  std::string path;
  Fd fd;
  dev_t device = 0;
  ino_t inode = 0;

  // The descriptor of what `path` names now; a negative one where it cannot be opened.
  int current() {
    struct stat at {};
    if (fd && ::stat(path.c_str(), &at) == 0 && at.st_dev == device && at.st_ino == inode) return fd.get();
    Fd opened(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640));
    if (opened && ::fstat(opened.get(), &at) == 0) {
      fd = std::move(opened);
      device = at.st_dev;
      inode = at.st_ino;
    }
    return fd.get();
  }
};

LogFile& log_file() {
  static LogFile& file = *new LogFile;  // never destroyed: threads may log while the process exits
  return file;
}

// Control characters would forge lines and drive terminals.
void append_escaped(std::string& out, std::string_view text, bool in_quotes) {
  for (char c : text) {
    auto byte = static_cast<unsigned char>(c);
    if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += in_quotes ? "\\t" : "\t";
    } else if (byte < 0x20 || byte == 0x7f) {
      char hex[8];
      std::snprintf(hex, sizeof hex, "\\x%02x", byte);
      out += hex;
    } else {
      if (in_quotes && (c == '"' || c == '\\')) out += '\\';
      out += c;
    }
  }
}

bool needs_quotes(std::string_view value) {
  if (value.empty()) return true;
  for (char c : value) {
    if (static_cast<unsigned char>(c) <= 0x20 || c == '"' || c == '=' || c == 0x7f) return true;
  }
  return false;
}

void append_time(std::string& out) {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  tm parts{};
  ::gmtime_r(&now.tv_sec, &parts);
  char text[80];
  std::snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ", parts.tm_year + 1900, parts.tm_mon + 1,
                parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, now.tv_nsec / 1'000'000);
  out += text;
}

struct LevelStyle {
  const char* name;
  const char* colour;
};
constexpr LevelStyle kStyles[] = {
    {"DEBUG", "\x1b[2m"}, {"INFO ", "\x1b[32m"}, {"WARN ", "\x1b[33m"}, {"ERROR", "\x1b[31m"}};

bool coloured() {
  static const bool terminal = ::isatty(STDERR_FILENO) == 1;
  return terminal && !to_file.load(std::memory_order_relaxed);
}

}  // namespace

void set_log_level(LogLevel level) { minimum.store(level, std::memory_order_relaxed); }

void set_log_file(const std::string& path) {
  LogFile& file = log_file();
  std::lock_guard lock(file.mutex);
  file.path = path;
  file.fd.reset();
  to_file.store(!path.empty(), std::memory_order_relaxed);
}

bool log_enabled(LogLevel level) { return level >= minimum.load(std::memory_order_relaxed); }

void log_line(LogLevel level, std::string_view component, std::string_view message, LogFields fields) {
  if (!log_enabled(level)) return;
  const LevelStyle& style = kStyles[static_cast<int>(level)];
  bool colour = coloured();
  std::string line;
  line.reserve(128 + message.size());
  append_time(line);
  line += ' ';
  if (colour) line += style.colour;
  line += style.name;
  if (colour) line += "\x1b[0m";
  line += ' ';
  line += component;
  line += ": ";
  append_escaped(line, message, false);
  for (const auto& [key, value] : fields) {
    line += ' ';
    line += key;
    line += '=';
    if (needs_quotes(value)) {
      line += '"';
      append_escaped(line, value, true);
      line += '"';
    } else {
      line += value;
    }
  }
  line += '\n';
  // One write for a line, so that lines of several threads never mix. A failure cannot be logged, so it is ignored.
  if (to_file.load(std::memory_order_relaxed)) {
    LogFile& file = log_file();
    std::lock_guard lock(file.mutex);
    int fd = file.path.empty() ? -1 : file.current();
    [[maybe_unused]] auto n = ::write(fd < 0 ? STDERR_FILENO : fd, line.data(), line.size());
    return;
  }
  [[maybe_unused]] auto n = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace berth
