#pragma once
// What write_file() and write_file_durably() (base/files.h) leave in a directory when they are killed: .NAME.XXXXXX.

#include <string>

namespace berth {

// Removes such files. The caller must be the only writer in `directory`. Blocks; any thread.
void remove_unfinished(const std::string& directory);

}  // namespace berth
