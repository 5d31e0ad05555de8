// The pod's sandbox: ipc and uts namespaces, shared memory, the control group with the limits of the pod.

#include "agent/hooks/hooks.h"
#include "agent/pod/resize.h"
#include "agent/spec/resources.h"
#include "api/object.h"

namespace berth::agent {
namespace {

class Sandbox final : public PodHook {
 public:
  std::string_view name() const override { return "sandbox"; }

  void prepare(PodContext& pod, HookDone done) override {
    const Value& spec = pod.pod["spec"];
    SandboxSpec sandbox;
    sandbox.pod_uid = pod.uid();
    sandbox.ns = api::namespace_of(pod.pod);
    sandbox.name = api::name_of(pod.pod);
    sandbox.hostname = pod.hostname;
    sandbox.network_namespace = pod.network_namespace;
    sandbox.user_namespace = pod.user_namespace;
    sandbox.first_user = pod.record.first_user;
    sandbox.host_pid = spec["hostPID"].as_bool();
    sandbox.host_ipc = spec["hostIPC"].as_bool();
    sandbox.share_pid = spec["shareProcessNamespace"].as_bool();
    sandbox.cgroup_parent = pod_cgroup(pod.services.config.cgroup, pod.uid());
    // After a restart of the agent, the control group keeps its limits until a resize has changed the containers.
    if (!pod.record.pod_in_force.is_object()) pod.record.pod_in_force = pod.record.granted;
    sandbox.limits = pod_limits(with_grant(pod.pod, pod.record.pod_in_force));
    for (const Value& sysctl : spec["securityContext"]["sysctls"])
      sandbox.sysctls[sysctl["name"].str()] = sysctl["value"].str();
    pod.services.containers.create_sandbox(sandbox, [done = std::move(done)](Status made) {
      if (!made.ok())
        return done(HookFailure{"FailedCreatePodSandBox", "Failed to create pod sandbox: " + made.error().message});
      done(std::nullopt);
    });
  }

  void cleanup(PodContext& pod, HookDone done) override {
    pod.services.containers.remove_sandbox(pod.uid(), [done = std::move(done)](Status removed) {
      if (!removed.ok()) return done(HookFailure{"FailedKillPod", "error killing pod: " + removed.error().message});
      done(std::nullopt);
    });
  }
};

}  // namespace

std::unique_ptr<PodHook> make_sandbox_hook() { return std::make_unique<Sandbox>(); }

}  // namespace berth::agent
