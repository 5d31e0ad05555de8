#include "agent/hooks/pod_hook.h"

#include "base/text.h"

namespace berth::agent {

std::vector<std::unique_ptr<PodHook>> make_pod_hooks() {
  std::vector<std::unique_ptr<PodHook>> hooks;
  hooks.push_back(make_node_support_hook());
  hooks.push_back(make_data_directories_hook());
  hooks.push_back(make_user_namespace_hook());  // before the namespaces that it owns
  hooks.push_back(make_names_hook());
  hooks.push_back(make_network_hook());  // before volumes: the downward API may tell the address
  hooks.push_back(make_claims_hook());
  hooks.push_back(make_empty_dirs_hook());
  hooks.push_back(make_host_paths_hook());
  hooks.push_back(make_config_volumes_hook());
  hooks.push_back(make_image_volumes_hook());
  hooks.push_back(make_shared_volumes_hook());
  hooks.push_back(make_etc_files_hook());
  hooks.push_back(make_sandbox_hook());
  hooks.push_back(make_sub_paths_hook());  // last, so that its mounts go before the volumes that they are of
  return hooks;
}

void blocking(Runtime& runtime, std::function<Status()> work, Function<void(Status)> done) {
  auto result = std::make_shared<Status>();
  runtime.offload([work = std::move(work), result] { *result = work(); },
                  [done = std::move(done), result] { done(std::move(*result)); });
}

HookFailure mount_failure(std::string_view volume, std::string_view why) {
  return {"FailedMount", "MountVolume.SetUp failed for volume " + quoted(volume) + " : " + std::string(why)};
}

std::string empty_dir_path(const std::string& directory, const std::string& volume) { return directory + "/empty/" + volume; }

std::string written_files(const std::string& memory) { return memory + "/written"; }

bool uses_host_network(const Value& pod) { return pod["spec"]["hostNetwork"].as_bool(); }

}  // namespace berth::agent
