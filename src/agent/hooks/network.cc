// The pod's network namespace and address.

#include "agent/hooks/pod_hook.h"

namespace berth::agent {
namespace {

class Network final : public PodHook {
 public:
  std::string_view name() const override { return "network"; }

  void prepare(PodContext& pod, HookDone done) override {
    if (uses_host_network(pod.pod)) {
      pod.record.ip = pod.services.config.node_ip;
      pod.network_namespace.clear();
      return done(std::nullopt);
    }
    if (pod.user_namespace.empty()) return attach(pod, done);
    auto pin = [&network = pod.services.network, uid = pod.uid(), users = pod.user_namespace] { return network.pin_namespace(uid, users); };
    blocking(pod.services.runtime, pin, [&pod, done = std::move(done)](const Status& pinned) mutable {
      if (!pinned.ok()) return done(failure(pinned.error()));
      attach(pod, done);
    });
  }

  void cleanup(PodContext& pod, HookDone done) override {
    if (uses_host_network(pod.pod)) return done(std::nullopt);
    auto detached = pod.services.network.detach(pod.uid());
    if (!detached.ok())
      return done(HookFailure{"FailedKillPod",
                              "error killing pod: failed to tear down the network: " + detached.error().message});
    done(std::nullopt);
  }

 private:
  static HookFailure failure(const Error& why) {
    return {"FailedCreatePodSandBox", "Failed to create pod sandbox: failed to setup network for sandbox: " + why.message};
  }

  static void attach(PodContext& pod, HookDone& done) {
    auto address = pod.services.network.attach(pod.uid(), pod.user_namespace);
    if (!address.ok()) return done(failure(address.error()));
    pod.record.ip = address->ip;
    pod.network_namespace = address->namespace_path;
    done(std::nullopt);
  }
};

}  // namespace

std::unique_ptr<PodHook> make_network_hook() { return std::make_unique<Network>(); }

}  // namespace berth::agent
