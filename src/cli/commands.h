#pragma once
// The commands of `berth`. Each is a function of its options that prints its result and returns the exit code; cli.cc
// contains the table.

#include <optional>
#include <string>
#include <vector>

namespace berth::cli {

struct UpOptions {
  std::string data_dir;
  int api_port = 0;  // 0: unchanged, or 6443
  std::string node_name;
  std::optional<std::string> feature_gates;                        // absent: unchanged
  std::optional<std::vector<std::string>> allowed_unsafe_sysctls;  // absent: unchanged
  std::vector<std::string> accepted_losses;                        // of the store, by name
};
struct DownOptions {
  std::string data_dir;
  bool purge = false;
  int grace_seconds = -1;  // upper limit for each pod; -1: its own grace period
};
int up(const UpOptions& options);
int down(const DownOptions& options);
int status(const std::string& data_dir);

struct ImageBuildOptions {
  std::string data_dir, reference, packages, entrypoint, command, working_directory, user, output, cache,
      suite = "bookworm";
  std::vector<std::string> environment, files, run;
};
int image_build(const ImageBuildOptions& options);
int image_import(const std::string& data_dir, const std::string& file, const std::string& reference);
int image_list(const std::string& data_dir, bool json);
int image_remove(const std::string& data_dir, const std::string& reference);

// The roles, implemented in main/: they run until they are stopped by a signal.
struct Roles {
  int (*server)(const std::string& data_dir);
  int (*agent)(const std::string& data_dir);
  int (*supervisor)(const std::string& data_dir);
};
int run(int argc, char** argv, const Roles& roles);

}  // namespace berth::cli
