#include "host/reserve.h"

#include <unistd.h>

#include "base/fs/reserve_file.h"

namespace berth::host {
namespace {

constexpr std::int64_t kBytes = 8 << 20;

}  // namespace

bool free_reserve(const ClusterDir& dir) {
  const DiskSpace disk = disk_space_at(dir.reserve());
  return disk.total > 0 && disk.free < kBytes && ::unlink(dir.reserve().c_str()) == 0;
}

void allocate_reserve(const ClusterDir& dir) { keep_reserve_file(dir.reserve(), kBytes); }

}  // namespace berth::host
