#include "agent/logs/container_logs.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/text.h"
#include "base/time/time.h"

namespace berth::agent {
namespace {

constexpr std::size_t kBlock = 64 * 1024;

bool same_file(int fd, const std::string& path) {
  struct stat open_one {
  }, named{};
  return ::fstat(fd, &open_one) == 0 && ::stat(path.c_str(), &named) == 0 && open_one.st_ino == named.st_ino &&
         open_one.st_dev == named.st_dev;
}

// conmon writes the offset of its time zone ("+00:00"); a log is shown in UTC, with nine digits and "Z".
std::string shown_time(std::string_view time) {
  constexpr std::size_t kDigits = std::string_view("2026-01-02T03:04:05.123456789").size();
  if (time.ends_with("+00:00") && time.size() == kDigits + 6) return std::string(time.substr(0, kDigits)) + "Z";
  if (time.ends_with("Z") && time.size() == kDigits + 1) return std::string(time);
  Result<Time> parsed = parse_time(time);
  return parsed.ok() ? format_nano_time(*parsed) : std::string(time);
}

}  // namespace

std::optional<LogLine> parse_log_line(std::string_view line) {
  Cut time = cut(line, " ");
  Cut stream = cut(time.after, " ");
  Cut tag = cut(stream.after, " ");
  if (!time.found || !stream.found || (stream.before != "stdout" && stream.before != "stderr")) return std::nullopt;
  if (tag.before != "F" && tag.before != "P") return std::nullopt;
  return LogLine{time.before, stream.before, tag.after, tag.before == "P"};
}

Result<std::int64_t> find_tail(int fd, std::int64_t lines) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return errno_error("reading a log");
  std::int64_t at = info.st_size;
  if (lines == 0) return at;
  std::string block;
  std::int64_t seen = 0;
  while (at > 0) {
    std::int64_t from = std::max<std::int64_t>(0, at - static_cast<std::int64_t>(kBlock));
    block.resize(static_cast<std::size_t>(at - from));
    ssize_t size = ::pread(fd, block.data(), block.size(), from);
    if (size < 0) return errno_error("reading a log");
    for (std::int64_t i = size - 1; i >= 0; --i) {
      // The newline that ends the file's last line does not begin another.
      if (block[static_cast<std::size_t>(i)] != '\n' || from + i == info.st_size - 1) continue;
      if (++seen == lines) return from + i + 1;
    }
    at = from;
  }
  return 0;
}

LogReader::LogReader(Loop& loop, LogOptions options, std::function<bool(std::string)> write, std::function<void()> end,
                     std::function<bool()> running)
    : loop_(loop),
      options_(std::move(options)),
      write_(std::move(write)),
      end_(std::move(end)),
      running_(std::move(running)) {}

LogReader::~LogReader() {
  if (notify_) loop_.unwatch_fd(notify_.get());
  if (timer_ != 0) loop_.cancel(timer_);
}

Status LogReader::open(const std::string& path) {
  path_ = path;
  file_ = Fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file_) return errno == ENOENT ? error(Code::kNotFound, "no log at " + path) : errno_error("opening " + path);
  if (options_.tail_lines >= 0) {
    BERTH_ASSIGN(std::int64_t offset, find_tail(file_.get(), options_.tail_lines));
    ::lseek(file_.get(), offset, SEEK_SET);
  }
  timer_ = loop_.after(0ns, [this] {
    timer_ = 0;
    read_more();
  });
  return ok_status();
}

void LogReader::resume() {
  if (!paused_ || ended_) return;
  paused_ = false;
  read_more();
}

std::int64_t LogReader::offset() const {
  const off_t at = file_ ? ::lseek(file_.get(), 0, SEEK_CUR) : 0;
  return std::max<std::int64_t>(0, at - static_cast<std::int64_t>(pending_.size()));
}

// A log may grow faster than it is read: after so many blocks others have their turn.
void LogReader::read_more() {
  constexpr int kBlocksATurn = 16;
  char block[kBlock];
  for (int blocks = 0; !paused_ && !ended_; ++blocks) {
    if (blocks == kBlocksATurn) return read_on_soon();
    ssize_t size = ::read(file_.get(), block, sizeof block);
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) {
      if (!same_file(file_.get(), path_)) {
        // Rotated: what is left of the old file has been read; go on at the start of the new one.
        Fd next(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
        if (next) {
          file_ = std::move(next);
          continue;
        }
      }
      if (!options_.follow) return finish();
      return wait_for_more();
    }
    pending_.append(block, static_cast<std::size_t>(size));
    if (!take_lines()) return;
  }
}

// Hands on the whole lines that have been read. False: the reader is done.
bool LogReader::take_lines() {
  std::string out;
  std::size_t from = 0;
  for (std::size_t at; (at = pending_.find('\n', from)) != std::string::npos; from = at + 1) {
    std::optional<LogLine> line = parse_log_line(std::string_view(pending_).substr(from, at - from));
    if (!line) continue;
    if (!options_.stream.empty() && options_.stream != "All" && !iequals(options_.stream, line->stream)) continue;
    if (options_.since) {
      Result<Time> time = parse_time(line->time);
      if (time.ok() && *time < *options_.since) continue;
    }
    if (options_.timestamps && line_begins_) out.append(shown_time(line->time)).append(" ");
    out.append(line->text);
    if (!line->partial) out += '\n';
    line_begins_ = !line->partial;
  }
  pending_.erase(0, from);
  bool full = options_.limit_bytes >= 0 && sent_ + static_cast<std::int64_t>(out.size()) >= options_.limit_bytes;
  if (full) out.resize(static_cast<std::size_t>(options_.limit_bytes - sent_));
  sent_ += static_cast<std::int64_t>(out.size());
  if (!out.empty() && !write_(std::move(out))) paused_ = true;
  if (full) finish();
  return !ended_;
}

void LogReader::wait_for_more() {
  if (!running_()) return finish();
  if (notify_) return;
  notify_ = Fd(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  std::string directory = path_.substr(0, path_.rfind('/'));
  // The directory's watch sees writes to the file, its rotation, and conmon letting go of it when the container ends.
  if (!notify_ ||
      ::inotify_add_watch(notify_.get(), directory.c_str(), IN_MODIFY | IN_CLOSE_WRITE | IN_CREATE | IN_MOVED_TO) < 0) {
    return finish();
  }
  (void)loop_.watch_fd(notify_.get(), EPOLLIN, [this](std::uint32_t) { on_notify(); });
  read_more();  // what came between the last read and the watch
}

void LogReader::on_notify() {
  char events[4096];
  bool closed = false;
  for (ssize_t size; (size = ::read(notify_.get(), events, sizeof events)) > 0;) {
    for (char* at = events; at < events + size;) {
      auto* event = reinterpret_cast<inotify_event*>(at);
      if ((event->mask & IN_CLOSE_WRITE) != 0) closed = true;
      at += sizeof(inotify_event) + event->len;
    }
  }
  read_more();
  // The runtime hears of the end a moment after conmon let go of the log.
  if (closed && !ended_) look_again_soon();
}

void LogReader::read_on_soon() {
  if (timer_ != 0) return;
  timer_ = loop_.after(0ns, [this] {
    timer_ = 0;
    read_more();
    // The container may have ended unnoticed in between.
    if (!ended_ && !paused_) look_again_soon();
  });
}

void LogReader::look_again_soon() {
  if (timer_ != 0) return;
  timer_ = loop_.after(50ms, [this] {
    timer_ = 0;
    if (!paused_) read_more();
    if (!ended_ && !running_()) finish();
  });
}

void LogReader::finish() {
  if (ended_) return;
  ended_ = true;
  if (notify_) loop_.unwatch_fd(notify_.get());
  notify_.reset();
  end_();
}

}  // namespace berth::agent
