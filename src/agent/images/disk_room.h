#pragma once
// How much of its disk an image may use when it is unpacked: all but a reserve for the agent and the pods.

#include <cstdint>
#include <string>

#include "base/result.h"

namespace berth::agent {

class DiskRoom {
 public:
  // Of the file system that `fd` is on. `shown` names it in messages.
  static Result<DiskRoom> of(int fd, std::string shown);

  // Bytes that may still be written now.
  std::int64_t bytes() const { return bytes_; }
  // To be called with what was written, and with each file that was made. kUnavailable, with the numbers, once the
  // reserve (5 % of the disk or 1 GiB, whichever is less, and 1 % of its inodes) is reached. Looks at the file system
  // now and then only.
  Status take(std::int64_t bytes, std::int64_t files);

 private:
  Status look();

  int fd_ = -1;
  std::string shown_;
  std::int64_t bytes_ = 0;
  std::int64_t bytes_since_ = 0, files_since_ = 0;
};

}  // namespace berth::agent
