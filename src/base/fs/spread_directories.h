#pragma once
// Where a file system places directories that have nothing to do with one another.

#include <string>

namespace berth {

// Asks the file system to place every directory made in `directory` from now on, with all that is below it, in a part
// of the disk of its own: ext2 to ext4 choose its block group as below "/" (chattr +T); elsewhere nothing happens. Pods
// and containers are made and removed all the time: in one block group, making a directory would scan the inodes that
// were freed there, which ext4 without a journal does not reuse for up to five minutes. Blocks; any thread; follows no
// link.
void spread_directories(const std::string& directory);

}  // namespace berth
