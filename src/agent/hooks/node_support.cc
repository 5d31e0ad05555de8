#include "agent/hooks/node_support.h"

#include <algorithm>

#include "agent/hooks/hooks.h"
#include "base/text.h"

namespace berth::agent {
namespace {

constexpr std::string_view kVolumeKinds[] = {"hostPath",  "emptyDir",    "secret",    "persistentVolumeClaim",
                                             "configMap", "downwardAPI", "projected", "ephemeral",
                                             "image"};
constexpr std::string_view kProjectedKinds[] = {"configMap", "secret", "downwardAPI", "serviceAccountToken",
                                                "clusterTrustBundle"};
// Handlers of RuntimeClasses that this node accepts. Both mean its only runtime.
constexpr std::string_view kHandlers[] = {"crun", "runc"};

template <class Names>
bool knows(const Names& names, std::string_view name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

HookFailure mount_failed(const std::string& volume, const std::string& why) {
  return {"FailedMount", "Unable to attach or mount volumes: unmounted volumes=[" + volume +
                             "], unattached volumes=[], failed to process volumes=[" + volume + "]: " + why};
}

std::optional<HookFailure> unsupported_volume(const Value& volume) {
  std::string name = volume["name"].str();
  for (auto [kind, source] : volume.entries()) {
    if (kind == "name" || source.is_null() || knows(kVolumeKinds, kind)) continue;
    if (kind == "csi")
      return mount_failure(name, "kubernetes.io/csi: mounter.SetUpAt failed to get CSI client: driver name " +
                                     source["driver"].str() + " not found in the list of registered CSI drivers");
    if (kind == "gitRepo")
      return mount_failure(name,
                           "git-repo volume plugin has been disabled; if necessary, it may be re-enabled by "
                           "enabling the feature-gate `GitRepoVolumeDriver`");
    return mount_failed(
        name, "no volume plugin matched: this node does not support volumes of the kind " + std::string(kind));
  }
  if (std::string medium = volume["emptyDir"]["medium"].str(); medium.starts_with("HugePages"))
    return mount_failure(name, "this node does not support emptyDir with the medium " + medium);
  for (const Value& source : volume["projected"]["sources"]) {
    for (auto [kind, part] : source.entries()) {
      if (part.is_null() || knows(kProjectedKinds, kind)) continue;
      return mount_failure(name, "this node does not support projected sources of the kind " + std::string(kind));
    }
    // This cluster has no ClusterTrustBundles: an optional source is left out.
    const Value& bundle = source["clusterTrustBundle"];
    if (!bundle.is_null() && !bundle["optional"].as_bool())
      return mount_failure(name, "this node does not support projected sources of the kind clusterTrustBundle");
  }
  return std::nullopt;
}

// The pod's RuntimeClass is read from the API at each attempt: it may have been created meanwhile.
class NodeSupport final : public PodHook {
 public:
  std::string_view name() const override { return "node support"; }

  void prepare(PodContext& pod, HookDone done) override {
    if (pod.record.prepared) return done(std::nullopt);
    if (auto failure = unsupported_part(pod.pod)) return done(failure);
    std::string wanted = pod.pod["spec"]["runtimeClassName"].str();
    if (wanted.empty()) return done(std::nullopt);
    pod.services.client.get(api::Resource{"node.k8s.io", "v1", "runtimeclasses"}, api::Name{"", wanted},
                            [wanted, done = std::move(done)](Result<Value> found) {
                              if (!found.ok() && !found.failed_with(Code::kNotFound))
                                return done(HookFailure{"FailedCreatePodSandBox",
                                                        "Failed to create pod sandbox: failed to lookup RuntimeClass " +
                                                            wanted + ": " + found.error().message});
                              done(unsupported_runtime(wanted, found.ok() ? *found : Value()));
                            });
  }
};

}  // namespace

std::optional<HookFailure> unsupported_part(const Value& pod) {
  const Value& spec = pod["spec"];
  for (const Value& volume : spec["volumes"]) {
    if (auto failure = unsupported_volume(volume)) return failure;
  }
  for (const char* list : {"initContainers", "containers"}) {
    for (const Value& container : spec[list]) {
      for (const Value& device : container["volumeDevices"])
        return mount_failed(device["name"].str(), "this node does not support raw block devices (volumeDevices)");
    }
  }
  if (spec["hostUsers"].is_bool() && !spec["hostUsers"].as_bool()) {
    for (const char* shared : {"hostNetwork", "hostPID", "hostIPC"}) {
      // In a namespace of the node, the pod's users would have no rights: the kernel checks its owner.
      if (spec[shared].as_bool())
        return HookFailure{
            "FailedCreatePodSandBox",
            "Failed to create pod sandbox: can't set `spec.hostUsers: false` together with " + std::string(shared)};
    }
  }
  if (!spec["resourceClaims"].empty())
    return HookFailure{"FailedPrepareDynamicResources",
                       "Failed to prepare dynamic resources: this node does not support resource claims"};
  return std::nullopt;
}

std::optional<HookFailure> unsupported_runtime(const std::string& name, const Value& runtime_class) {
  auto failed = [](const std::string& why) {
    return HookFailure{"FailedCreatePodSandBox", "Failed to create pod sandbox: " + why};
  };
  if (runtime_class.is_null()) return failed("runtimeclass.node.k8s.io " + quoted(name) + " not found");
  std::string_view handler = runtime_class["handler"].as_string();
  if (knows(kHandlers, handler)) return std::nullopt;
  return failed("failed to get sandbox runtime: no runtime for " + quoted(handler) + " is configured");
}

std::unique_ptr<PodHook> make_node_support_hook() { return std::make_unique<NodeSupport>(); }

}  // namespace berth::agent
