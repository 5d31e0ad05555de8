// hostUsers: false. The pod gets a user namespace, whose ids are mapped to a range of the node's ids that no other pod
// has. Comes before the hooks that make namespaces, which it owns.

#include "agent/hooks/hooks.h"
#include "agent/mounts/mounts.h"
#include "base/fs/rooted_dir.h"
#include "base/process/owned_namespaces.h"
#include "base/text.h"

namespace berth::agent {
namespace {

constexpr std::int64_t kFirst = std::int64_t{1} << 30;  // above the ids of the machine's users and of /etc/subuid
constexpr int kMostPods = 8192;

std::string leases(const PodContext& pod) { return pod.services.config.memory() + "/users"; }

// The file of a range, named by its number, holds the uid of the pod that has it.
Result<std::int64_t> lease_range(const std::string& directory, const std::string& uid) {
  BERTH_TRY(make_directories(directory, 0700));
  BERTH_ASSIGN(RootedDir root, RootedDir::open(directory));
  for (int n = 0; n < kMostPods; ++n) {
    std::string name = std::to_string(n);
    auto file = root.create_file(name, 0600);
    if (file.failed_with(Code::kAlreadyExists)) {
      // This pod's range, if an earlier agent leased it and had not recorded it.
      auto owner = root.read_file(name, 64);
      if (!owner.ok() || *owner != uid) continue;
      return kFirst + n * kUserRange;
    }
    if (!file.ok()) return file.error();
    BERTH_TRY(root.write_file(name, uid, 0600));
    return kFirst + n * kUserRange;
  }
  return error(Code::kUnavailable, "all ranges of users are in use");
}

Status release_range(const std::string& directory, std::int64_t first) {
  auto root = RootedDir::open(directory);
  if (!root.ok()) return root.failed_with(Code::kNotFound) ? Status() : Status(root.error());
  return root->remove_file(std::to_string((first - kFirst) / kUserRange));
}

class UserNamespace final : public PodHook {
 public:
  std::string_view name() const override { return "user namespace"; }

  void prepare(PodContext& pod, HookDone done) override {
    const Value& host_users = pod.pod["spec"]["hostUsers"];
    if (!host_users.is_bool() || host_users.as_bool()) return done(std::nullopt);
    std::string path = pod.directory + "/users";
    auto first = std::make_shared<std::int64_t>(pod.record.first_user);
    auto work = [path, first, directory = leases(pod), uid = pod.uid()]() -> Status {
      if (*first == 0) {
        BERTH_ASSIGN(*first, lease_range(directory, uid));
      }
      return is_mount_point(path) ? Status() : pin_user_namespace(path, *first, kUserRange);
    };
    blocking(pod.services.runtime, work, [&pod, path, first, done = std::move(done)](Status made) {
      pod.record.first_user = *first;
      if (!made.ok())
        return done(
            HookFailure{"FailedCreatePodSandBox",
                        "Failed to create pod sandbox: can't set `spec.hostUsers: false`: " + made.error().message});
      pod.user_namespace = path;
      done(std::nullopt);
    });
  }

  void cleanup(PodContext& pod, HookDone done) override {
    if (pod.record.first_user == 0) return done(std::nullopt);
    // The pinned namespace is removed with the pod's directory.
    auto work = [directory = leases(pod), first = pod.record.first_user] { return release_range(directory, first); };
    blocking(pod.services.runtime, work, [&pod, done = std::move(done)](Status released) {
      if (!released.ok()) return done(HookFailure{"FailedKillPod", "error killing pod: " + released.error().message});
      pod.record.first_user = 0;
      done(std::nullopt);
    });
  }
};

}  // namespace

std::unique_ptr<PodHook> make_user_namespace_hook() { return std::make_unique<UserNamespace>(); }

}  // namespace berth::agent
