#pragma once
// Variables from files in a pod's volumes (env.valueFrom.fileKeyRef), written by a container that ran before.

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

// The value of `name` in the text of a file. A line is NAME='value' (the value may have several lines) or NAME=value.
// Spaces around name, equals sign and value are ignored, as are empty lines and lines that begin with #. Nothing where
// no line has the name; kInvalid where a line has another form.
Result<std::optional<std::string>> env_file_value(std::string_view text, std::string_view name);

}  // namespace berth::agent
