#pragma once
// For tests: this process in a mount namespace of its own where crun finds one version of control groups, and a small
// root file system made of busybox.

#include <functional>
#include <string>

#include "base/loop.h"

namespace berth::agent::testing {

// Once a process; nothing outside of it changes. False (with the reason printed) where it may not.
bool enter_private_mounts();

// A directory that is removed, with everything mounted below it, at the end.
class TemporaryDirectory {
 public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// Makes bin/ with busybox and links to it, etc/passwd and the like, in `directory`.
void make_busybox_root(const std::string& directory);

// Turns the loop until `condition` holds; false after `limit`.
bool run_until(Loop& loop, const std::function<bool()>& condition, Duration limit = 20s);

}  // namespace berth::agent::testing
