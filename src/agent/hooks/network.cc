// The pod's network namespace and address.

#include "agent/hooks/hooks.h"

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
    auto address = pod.services.network.lease(pod.uid());
    if (!address.ok()) return done(setup_failure(address.error()));
    blocking(
        pod.services.runtime,
        [&network = pod.services.network, uid = std::string(pod.uid()), address = *address,
         users = pod.user_namespace] { return network.connect(uid, address, users); },
        [&pod, address = *address, done = std::move(done)](Status connected) {
          if (!connected.ok()) return done(setup_failure(connected.error()));
          pod.record.ip = address.ip;
          pod.network_namespace = address.namespace_path;
          done(std::nullopt);
        });
  }

  void cleanup(PodContext& pod, HookDone done) override {
    if (uses_host_network(pod.pod)) return done(std::nullopt);
    blocking(
        pod.services.runtime,
        [&network = pod.services.network, uid = std::string(pod.uid())] { return network.disconnect(uid); },
        [&pod, done = std::move(done)](Status gone) {
          if (gone.ok()) gone = pod.services.network.release(pod.uid());
          if (gone.ok()) return done(std::nullopt);
          done(HookFailure{"FailedKillPod",
                           "error killing pod: failed to tear down the network: " + gone.error().message});
        });
  }

 private:
  static HookFailure setup_failure(const Error& why) {
    return {"FailedCreatePodSandBox",
            "Failed to create pod sandbox: failed to setup network for sandbox: " + why.message};
  }
};

}  // namespace

std::unique_ptr<PodHook> make_network_hook() { return std::make_unique<Network>(); }

}  // namespace berth::agent
