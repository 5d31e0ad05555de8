#include "controllers/volume/claim_plan.h"

#include <algorithm>
#include <map>

#include "base/text.h"
#include "base/time/time.h"
#include "controllers/shared/local_volume.h"
#include "controllers/shared/node_selector.h"
#include "controllers/shared/volume_match.h"

namespace berth::controllers::volume {
namespace {

using namespace api::resources;  // NOLINT

class ClaimPlanner {
 public:
  ClaimPlanner(const ClaimView& view, Time now) : view_(view), claim_(view.claim), now_(now) {}

  Plan run() {
    if (claim_["metadata"]["annotations"].contains(kBindCompleted)) {
      sync_bound();
    } else if (!api::is_terminating(claim_)) {
      sync_unbound();
    }
    return std::move(plan_);
  }

 private:
  void sync_bound();
  void sync_unbound();
  void sync_requested();
  void wait_for_consumer();
  void provision();
  void bind(const Value& volume, std::vector<Action> chain = {});
  void complete_status(const Value& volume);
  void mark_lost(std::string_view reason, std::string message);
  void set_phase(std::string_view phase);
  void expand();
  void clear_resize_conditions();
  const Value* target_node(std::string& problem) const;
  Value claim_reference() const;
  void emit(std::string_view type, std::string_view reason, std::string message) {
    plan_.event(claim_, type, reason, std::move(message));
  }
  std::string class_name() const { return std::string(class_of(claim_)); }

  const ClaimView& view_;
  const Value& claim_;
  Time now_;
  Plan plan_;
};

Value ClaimPlanner::claim_reference() const {
  return Value::object({{"apiVersion", "v1"},
                        {"kind", "PersistentVolumeClaim"},
                        {"namespace", api::namespace_of(claim_)},
                        {"name", api::name_of(claim_)},
                        {"uid", api::uid_of(claim_)},
                        {"resourceVersion", api::resource_version_of(claim_)}});
}

void ClaimPlanner::set_phase(std::string_view phase) {
  if (claim_["status"]["phase"].as_string() == phase) return;
  Value status = Value::object({{"phase", phase}});
  if (phase != "Bound") status.set("accessModes", nullptr).set("capacity", nullptr);
  plan_.add(patch_status(kPersistentVolumeClaims, claim_, Value::object({{"status", status}})));
}

// --- Bound claims

void ClaimPlanner::mark_lost(std::string_view reason, std::string message) {
  if (claim_["status"]["phase"].as_string() == "Lost") return;
  emit(kWarning, reason, std::move(message));
  set_phase("Lost");
}

void ClaimPlanner::sync_bound() {
  if (claim_["spec"]["volumeName"].as_string().empty()) {
    return mark_lost("ClaimLost", "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!");
  }
  const Value& volume = view_.volume;
  if (volume.is_null()) {
    if (!view_.volume_missing_long) return plan_.requeue_after(kMissingLong);
    return mark_lost("ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!");
  }
  const Value& reference = volume["spec"]["claimRef"];
  if (!reference.is_null() && reference["uid"].as_string() != api::uid_of(claim_)) {
    return mark_lost("ClaimMisbound", "Two claims are bound to the same volume, this one is bound incorrectly");
  }
  bind(volume);
  if (!plan_.chains.empty() || !plan_.then.empty()) return;
  expand();
}

// --- Unbound claims

void ClaimPlanner::sync_unbound() {
  if (!claim_["spec"]["volumeName"].as_string().empty()) return sync_requested();
  if (has_no_class(claim_) && !view_.default_class.is_null()) {
    Value change = Value::object({{"spec", Value::object({{"storageClassName", api::name_of(view_.default_class)}})}});
    plan_.add(patch(kPersistentVolumeClaims, claim_, api::PatchType::kMerge, std::move(change), true));
    return;
  }
  const bool waits = waits_for_consumer(view_.storage_class);
  MatchOptions options;
  options.waits_for_consumer = waits;
  const Value match = find_match(claim_, view_.volumes, options);
  if (!match.is_null()) return bind(match);
  const bool no_consumer = waits && api::annotation_of(claim_, kSelectedNode).empty();
  if (!no_consumer && !class_of(claim_).empty()) return provision();
  set_phase("Pending");
  if (no_consumer) return wait_for_consumer();
  emit(kNormal, "FailedBinding", "no persistent volumes available for this claim and no storage class is set");
}

void ClaimPlanner::wait_for_consumer() {
  const auto& pods = view_.waiting_pods;
  if (pods.empty())
    return emit(kNormal, "WaitForFirstConsumer", "waiting for first consumer to be created before binding");
  emit(kNormal, "WaitForPodScheduled",
       (pods.size() > 1 ? "waiting for pods " : "waiting for pod ") + join(pods, ",") + " to be scheduled");
}

// The claim names its volume in spec.volumeName.
void ClaimPlanner::sync_requested() {
  const Value& volume = view_.volume;
  if (volume.is_null()) return set_phase("Pending");
  if (is_reserved_for(volume, claim_)) return bind(volume);
  const std::string name(api::name_of(volume));
  if (!volume["spec"]["claimRef"].is_null()) {
    emit(kWarning, "FailedBinding", "volume \"" + name + "\" already bound to a different claim.");
    return set_phase("Pending");
  }
  const std::string problem = mismatch(volume, claim_);
  if (!problem.empty()) {
    emit(kWarning, "VolumeMismatch", "Cannot bind to requested volume \"" + name + "\": " + problem);
    return set_phase("Pending");
  }
  bind(volume);
}

// --- Binding

void ClaimPlanner::bind(const Value& volume, std::vector<Action> chain) {
  const Value& reference = volume["spec"]["claimRef"];
  if (reference["uid"].as_string() != api::uid_of(claim_)) {
    Value change = Value::object({{"spec", Value::object({{"claimRef", claim_reference()}})}});
    // A user's reservation of the volume remains when the claim is deleted.
    if (reference.is_null()) change.mut("metadata").set("annotations", Value::object({{kBoundByController, "yes"}}));
    chain.push_back(patch(kPersistentVolumes, volume, api::PatchType::kMerge, std::move(change), true));
  }
  Value annotations = Value::object();
  Value change = Value::object();
  if (claim_["spec"]["volumeName"].as_string() != api::name_of(volume)) {
    change.set("spec", Value::object({{"volumeName", api::name_of(volume)}}));
    annotations.set(kBoundByController, "yes");
  }
  if (!claim_["metadata"]["annotations"].contains(kBindCompleted)) annotations.set(kBindCompleted, "yes");
  const std::string_view provisioner = view_.storage_class["provisioner"].as_string();
  if (!annotations.empty() && is_local(volume) && !provisioner.empty()) {
    annotations.set(kStorageProvisioner, provisioner).set(kBetaStorageProvisioner, provisioner);
  }
  if (!annotations.empty()) {
    change.mut("metadata").set("annotations", annotations);
    chain.push_back(patch(kPersistentVolumeClaims, claim_, api::PatchType::kMerge, std::move(change), true));
  }
  plan_.add_chain(std::move(chain));
  complete_status(volume);
}

void ClaimPlanner::complete_status(const Value& volume) {
  const Value& status = claim_["status"];
  const bool bound = status["phase"].as_string() == "Bound";
  Value change = Value::object();
  if (!bound) change.set("phase", "Bound");
  if (status["accessModes"] != volume["spec"]["accessModes"]) change.set("accessModes", volume["spec"]["accessModes"]);
  // After binding, the agent that grows the file system owns status.capacity.
  if ((!bound || status["capacity"].empty()) && status["capacity"] != volume["spec"]["capacity"]) {
    change.set("capacity", volume["spec"]["capacity"]);
  }
  if (!change.empty())
    plan_.then.push_back(patch_status(kPersistentVolumeClaims, claim_, Value::object({{"status", change}})));
}

// --- New volumes

// The node to create the volume on; null, with a problem for an event, if there is none.
const Value* ClaimPlanner::target_node(std::string& problem) const {
  const std::string_view selected = api::annotation_of(claim_, kSelectedNode);
  if (!selected.empty()) {
    for (const Value& node : view_.nodes) {
      if (api::name_of(node) == selected) return &node;
    }
    problem = "error getting selected node: node \"" + std::string(selected) + "\" not found";
    return nullptr;
  }
  std::map<std::string, int, std::less<>> volumes_of_host;
  for (const Value& volume : view_.made_volumes) {
    if (is_local(volume)) ++volumes_of_host[std::string(local_node(volume))];
  }
  const Value* best = nullptr;
  int least = 0;
  for (const Value& node : view_.nodes) {
    if (!api::condition_is_true(node, "Ready") || node["spec"]["unschedulable"].as_bool()) continue;
    if (!matches_topologies(view_.storage_class["allowedTopologies"], node)) continue;
    const std::string_view host = api::label_of(node, "kubernetes.io/hostname");
    auto entry = volumes_of_host.find(host.empty() ? api::name_of(node) : host);
    const int count = entry == volumes_of_host.end() ? 0 : entry->second;
    if (best && count >= least) continue;
    best = &node;
    least = count;
  }
  if (!best) problem = "no node is ready that the volume could be made on";
  return best;
}

void ClaimPlanner::provision() {
  const Value& storage_class = view_.storage_class;
  if (storage_class.is_null()) {
    return emit(kWarning, "ProvisioningFailed", "storageclass.storage.k8s.io " + quoted(class_name()) + " not found");
  }
  const std::string provisioner = storage_class["provisioner"].str();
  if (provisioner == "kubernetes.io/no-provisioner") {
    return emit(kWarning, "ProvisioningFailed", "no volume plugin matched name: kubernetes.io/no-provisioner");
  }
  auto waiting_for = [&] {
    emit(
        kNormal, "ExternalProvisioning",
        "Waiting for a volume to be created either by the external provisioner '" + provisioner +
            "' or manually by the system administrator. If volume creation is delayed, please verify that the provisioner is "
            "running and correctly registered.");
  };
  if (!is_served_provisioner(provisioner)) {
    if (api::annotation_of(claim_, kStorageProvisioner) != provisioner) {
      Value change = Value::object(
          {{"metadata", Value::object({{"annotations", Value::object({{kStorageProvisioner, provisioner},
                                                                      {kBetaStorageProvisioner, provisioner}})}})}});
      plan_.add(patch(kPersistentVolumeClaims, claim_, api::PatchType::kMerge, std::move(change), true));
    }
    return waiting_for();
  }
  const std::string failure = "failed to provision volume with StorageClass " + quoted(class_name()) + ": ";
  std::string problem;
  const Value* node = target_node(problem);
  if (!node) {
    emit(kWarning, "ProvisioningFailed", failure + problem);
    if (api::annotation_of(claim_, kSelectedNode).empty()) return;
    // The scheduler must choose another node.
    Value change =
        Value::object({{"metadata", Value::object({{"annotations", Value::object({{kSelectedNode, nullptr}})}})}});
    plan_.add(patch(kPersistentVolumeClaims, claim_, api::PatchType::kMerge, std::move(change), true));
    return;
  }
  Result<Value> volume = make_local_volume(claim_, storage_class, *node);
  if (!volume.ok()) return emit(kWarning, "ProvisioningFailed", failure + volume.error().message);
  waiting_for();
  emit(kNormal, "Provisioning", "External provisioner is provisioning volume for claim " + quoted(key_of(claim_)));
  Action made = create(kPersistentVolumes, volume.value());
  made.succeeded(claim_, kNormal, "ProvisioningSucceeded", "Successfully provisioned volume " + volume_name(claim_));
  made.failed(claim_, kWarning, "ProvisioningFailed", failure);
  plan_.chains.clear();  // phase Pending is obsolete
  bind(volume.value(), {std::move(made)});
}

// --- Growing

void ClaimPlanner::expand() {
  const Value& volume = view_.volume;
  const api::Quantity requested = request_of(claim_);
  const auto capacity = api::Quantity::parse(claim_["status"]["capacity"]["storage"].as_string());
  if (!capacity.ok() || requested <= capacity.value()) return clear_resize_conditions();
  if (!is_local(volume)) {
    if (capacity_of(volume) < requested)
      emit(kNormal, "ExternalExpanding", "waiting for an external controller to expand this PVC");
    return;
  }
  if (capacity_of(volume) < requested) {
    if (!view_.storage_class["allowVolumeExpansion"].as_bool()) return;
    emit(kNormal, "Resizing", "External resizer is resizing volume " + std::string(api::name_of(volume)));
    Value size = Value::object({{"storage", claim_["spec"]["resources"]["requests"]["storage"]}});
    plan_.add(patch(kPersistentVolumes, volume, api::PatchType::kMerge,
                    Value::object({{"spec", Value::object({{"capacity", size}})}}), true));
  }
  Value conditions = claim_["status"]["conditions"];
  if (api::set_condition(conditions, "FileSystemResizePending", "True", "",
                         "Waiting for user to (re-)start a pod to finish file system resize of volume on node.",
                         now_)) {
    Action pending = patch_status(kPersistentVolumeClaims, claim_,
                                  Value::object({{"status", Value::object({{"conditions", conditions}})}}), true);
    pending.succeeded(claim_, kNormal, "FileSystemResizeRequired", "Require file system resize of volume on node");
    plan_.then.push_back(std::move(pending));
  }
}

void ClaimPlanner::clear_resize_conditions() {
  Value left = Value::array();
  for (const Value& condition : claim_["status"]["conditions"]) {
    const std::string_view type = condition["type"].as_string();
    if (type != "Resizing" && type != "FileSystemResizePending") left.push(condition);
  }
  if (left.size() == claim_["status"]["conditions"].size()) return;
  Value change = Value::object({{"conditions", left.empty() ? Value() : left}});
  plan_.add(patch_status(kPersistentVolumeClaims, claim_, Value::object({{"status", change}}), true));
}

}  // namespace

Plan plan_claim(const ClaimView& view, Time now) {
  if (view.claim.is_null()) return {};
  return ClaimPlanner(view, now).run();
}

Value choose_default_class(const std::vector<Value>& classes) {
  Value best;
  for (const Value& candidate : classes) {
    if (api::annotation_of(candidate, kDefaultClass) != "true") continue;
    if (best.is_null() ||
        candidate["metadata"]["creationTimestamp"].as_string() > best["metadata"]["creationTimestamp"].as_string()) {
      best = candidate;
    }
  }
  return best;
}

}  // namespace berth::controllers::volume
