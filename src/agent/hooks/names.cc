// The pod's hostname: spec.hostname or its name, with its domain where it has a subdomain.

#include "agent/hooks/hooks.h"
#include "api/object.h"

namespace berth::agent {
namespace {

constexpr std::size_t kLongestHostname = 63;

class Names final : public PodHook {
 public:
  std::string_view name() const override { return "names"; }

  void prepare(PodContext& pod, HookDone done) override {
    const Value& spec = pod.pod["spec"];
    std::string host = spec["hostname"].str();
    if (host.empty()) host = api::name_of(pod.pod);
    if (host.size() > kLongestHostname) {
      host.resize(kLongestHostname);
      while (!host.empty() && (host.back() == '-' || host.back() == '.')) host.pop_back();
    }
    pod.fqdn.clear();
    if (std::string subdomain = spec["subdomain"].str(); !subdomain.empty()) {
      pod.fqdn = host + "." + subdomain + "." + std::string(api::namespace_of(pod.pod)) + ".svc." +
                 pod.services.config.cluster_domain;
    }
    if (const Value& override_name = spec["hostnameOverride"]; override_name.is_string()) {
      host = override_name.str();
      pod.fqdn.clear();
    }
    pod.hostname = host;
    if (spec["setHostnameAsFQDN"].as_bool() && !pod.fqdn.empty()) {
      if (pod.fqdn.size() > 64) {
        return done(HookFailure{
            "FailedCreatePodSandBox",
            "Failed to create pod sandbox: failed to construct FQDN from pod hostname and cluster domain, FQDN " +
                pod.fqdn + " is too long (64 characters is the max, " + std::to_string(pod.fqdn.size()) +
                " characters requested)"});
      }
      pod.hostname = pod.fqdn;
    }
    done(std::nullopt);
  }
};

}  // namespace

std::unique_ptr<PodHook> make_names_hook() { return std::make_unique<Names>(); }

}  // namespace berth::agent
