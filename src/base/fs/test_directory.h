#pragma once
// For tests: a directory that is removed at the end, with all that is in it. What is mounted there is the test's to
// unmount.

#include <stdlib.h>

#include <filesystem>
#include <string>

namespace berth::testing {

class TestDirectory {
 public:
  TestDirectory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "berth-test-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~TestDirectory() {
    std::error_code left;
    std::filesystem::remove_all(path_, left);
  }
  TestDirectory(const TestDirectory&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace berth::testing
