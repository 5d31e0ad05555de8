#include "base/fs/remove_unfinished.h"

#include <unistd.h>

#include "base/files.h"

namespace berth {

void remove_unfinished(const std::string& directory) {
  constexpr std::size_t kEnd = 7;  // ".XXXXXX"
  auto names = list_directory(directory);
  if (!names.ok()) return;
  for (const std::string& name : *names) {
    if (name.size() > kEnd + 1 && name.front() == '.' && name[name.size() - kEnd] == '.')
      ::unlink((directory + "/" + name).c_str());
  }
}

}  // namespace berth
