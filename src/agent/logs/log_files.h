#pragma once
// LogFiles: keeps the logs of running containers short. conmon starts a log anew by itself when it has reached its
// limit (`--log-size-max`), by renaming a new file over it. A hard link to the present file, `<log>.0`, keeps the
// replaced one; it then becomes `<log>.1`, that one `<log>.2` and so on. However fast a container writes, its logs use
// no more than `files` times the limit; a log that is replaced twice between two events is lost. The oldest file loses
// its name on the loop and its blocks on the thread of `remover`: a disk mounted with discard takes a tenth of a second
// for ten megabytes, and a container may fill them several times a second.
//
// On the agent's loop. Uses one inotify descriptor; at rest nothing runs.

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "base/files.h"
#include "base/loop.h"
#include "base/thread_pool.h"

namespace berth::agent {

class LogFiles {
 public:
  // `files`: how many files a log has at most, the present one among them.
  LogFiles(Loop& loop, ThreadPool& remover, int files);
  ~LogFiles();
  LogFiles(const LogFiles&) = delete;

  // From now on, and for what was replaced before: also of a log that an earlier agent followed. Following it twice is
  // fine.
  void follow(const std::string& log_path);
  // The container has ended: its present file alone stays beside the older ones.
  void forget(const std::string& log_path);

 private:
  void on_events();
  void keep(const std::string& log_path);
  void let_go(const std::string& path);

  Loop& loop_;
  ThreadPool& remover_;
  int files_;
  Fd notify_;
  std::map<int, std::string> directories_;                 // by watch
  std::map<std::string, std::set<std::string>> followed_;  // directory -> file names
};

}  // namespace berth::agent
