#pragma once
// For tests: this process in a mount namespace of its own where crun finds one version of control groups, and a small
// root file system made of busybox.

#include <functional>
#include <string>

#include "base/fs/test_directory.h"
#include "base/loop.h"

namespace berth::agent::testing {

// Once a process; nothing outside of it changes. False (with the reason printed) where it may not.
bool enter_private_mounts();

// TestDirectory that unmounts everything below it before it is removed.
class TemporaryDirectory : public berth::testing::TestDirectory {
 public:
  ~TemporaryDirectory();
};

// Makes bin/ with busybox and links to it, etc/passwd and the like, in `directory`.
void make_busybox_root(const std::string& directory);

// Turns the loop until `condition` holds; false after `limit`.
bool run_until(Loop& loop, const std::function<bool()>& condition, Duration limit = 20s);

}  // namespace berth::agent::testing
