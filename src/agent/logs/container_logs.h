#pragma once
// Container logs: reads CRI-format log files ("<time> stdout F text") for `kubectl logs`, and follows them.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/files.h"
#include "base/loop.h"
#include "base/result.h"

namespace berth::agent {

struct LogOptions {
  bool follow = false;
  bool timestamps = false;
  std::optional<Time> since;
  std::int64_t tail_lines = -1;   // -1: all
  std::int64_t limit_bytes = -1;  // -1: none
  std::string stream;             // "", "All", "Stdout", "Stderr"
};

// One line of the file, taken apart.
struct LogLine {
  std::string_view time, stream, text;
  bool partial = false;  // the writer broke the line; no newline follows the text
};
// Nothing where the line has not that form.
std::optional<LogLine> parse_log_line(std::string_view line);

// Where the last `lines` lines of a file begin. Reads backwards, in blocks.
Result<std::int64_t> find_tail(int fd, std::int64_t lines);

// Reads one log to its end, or for as long as the container runs. On the loop; small reads of a local file.
class LogReader {
 public:
  // `write` receives text and returns whether it accepts more now (resume() continues). `end` is called once.
  // `running` returns whether the container may still write.
  LogReader(Loop& loop, LogOptions options, std::function<bool(std::string)> write, std::function<void()> end,
            std::function<bool()> running);
  ~LogReader();
  LogReader(const LogReader&) = delete;

  // kNotFound where there is no such file.
  Status open(const std::string& path);
  void resume();
  // Where in the file the first line begins that was not handed on.
  std::int64_t offset() const;

 private:
  void read_more();
  bool take_lines();
  void wait_for_more();
  void on_notify();
  void read_on_soon();
  void look_again_soon();
  void finish();

  Loop& loop_;
  LogOptions options_;
  std::function<bool(std::string)> write_;
  std::function<void()> end_;
  std::function<bool()> running_;
  std::string path_;
  Fd file_, notify_;
  std::string pending_;  // the unfinished line
  std::int64_t sent_ = 0;
  TimerId timer_ = 0;
  bool paused_ = false, ended_ = false, line_begins_ = true;
};

}  // namespace berth::agent
