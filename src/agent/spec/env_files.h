#pragma once
// Variables from files in a pod's volumes (env.valueFrom.fileKeyRef), which an earlier container has written.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json/json.h"
#include "base/result.h"

namespace berth::agent {

inline constexpr std::size_t kMostEnvFile = 64 * 1024;

struct EnvFile {
  std::string volume, path;
  std::string key() const { return volume + "/" + path; }
};
std::vector<EnvFile> env_files_of(const Value& container);

// A line declares NAME='value' (which may go on over several lines) or NAME=value. Spaces around both and around the
// equals sign do not count, neither do empty lines and those that begin with #. Nothing where no line declares the
// name; kInvalid where the text is no such file.
Result<std::optional<std::string>> env_file_value(std::string_view text, std::string_view name);

}  // namespace berth::agent
