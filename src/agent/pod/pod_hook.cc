#include "agent/pod/pod_hook.h"

#include "base/text.h"

namespace berth::agent {

void blocking(Runtime& runtime, std::function<Status()> work, Function<void(Status)> done) {
  auto result = std::make_shared<Status>();
  runtime.offload([work = std::move(work), result] { *result = work(); },
                  [done = std::move(done), result] { done(std::move(*result)); });
}

HookFailure mount_failure(std::string_view volume, std::string_view why) {
  return {"FailedMount", "MountVolume.SetUp failed for volume " + quoted(volume) + " : " + std::string(why)};
}

std::string empty_dir_path(const std::string& directory, const std::string& volume) {
  return directory + "/empty/" + volume;
}

std::string written_files(const std::string& memory) { return memory + "/written"; }

bool uses_host_network(const Value& pod) { return pod["spec"]["hostNetwork"].as_bool(); }

}  // namespace berth::agent
