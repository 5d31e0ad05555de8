// The claims of a set's pods: creates them, sets their owners, retains them, and changes them with their templates.
#include <algorithm>

#include "api/quantity.h"
#include "base/text.h"
#include "base/time/time.h"
#include "controllers/statefulset/planner.h"

namespace berth::controllers::statefulset {

using api::resources::kPersistentVolumeClaims;
using api::resources::kPods;
using api::resources::kStatefulSets;

namespace {

const Value& storage_of(const Value& amounts) { return amounts["storage"]; }

bool is_less(const Value& a, const Value& b) {
  const auto x = api::Quantity::parse(a.as_string()), y = api::Quantity::parse(b.as_string());
  return x.ok() && y.ok() && *x < *y;
}

constexpr std::string_view kResizePending = "FileSystemResizePending";
bool waits_for_remount(const Value& claim) { return api::condition_is_true(claim, kResizePending); }

// The patch of the claim's spec that its template requires now; null if none.
Value required_spec_change(const Value& claim, const Value& claim_template) {
  Value change = Value::object();
  const Value& size = storage_of(claim_template["spec"]["resources"]["requests"]);
  if (is_less(storage_of(claim["spec"]["resources"]["requests"]), size)) {
    change.set("resources", Value::object({{"requests", Value::object({{"storage", size}})}}));
  }
  const Value& attributes = claim_template["spec"]["volumeAttributesClassName"];
  if (!attributes.is_null() && attributes != claim["spec"]["volumeAttributesClassName"])
    change.set("volumeAttributesClassName", attributes);
  return change.empty() ? Value() : change;
}

// What a claim whose request was raised still waits for; empty if it is complete.
std::string pending_growth(const Value& claim) {
  const Value& wanted = storage_of(claim["spec"]["resources"]["requests"]);
  const Value& there = storage_of(claim["status"]["capacity"]);
  if (claim["status"]["phase"].as_string() != "Bound" || !is_less(there, wanted)) return "";
  return "claim " + std::string(api::name_of(claim)) + " grows from " + there.str() + " to " + wanted.str() +
         (waits_for_remount(claim) ? "; its file system does when its pod is started again" : "");
}

}  // namespace

// Pods below the partition keep the claim templates of their revision.
const Value& SetPlanner::claim_templates_for(std::string_view revision) const {
  const bool old = revision == current_name_ && current_name_ != update_name_;
  return old && !current_claims_.is_null() ? current_claims_ : set_["spec"]["volumeClaimTemplates"];
}

bool SetPlanner::claims_usable(const Replica& replica) {
  const std::string name = pod_name(spec_, replica.ordinal);
  if (!view_.pod(name).is_null()) {
    plan_.event(set_, kWarning, "FailedCreate",
                event_text("create", name) + " failed error: pods \"" + name + "\" already exists");
    wait("NameTaken",
         "waiting for the pod " + quoted(name) + ", which does not belong to this set, to go: " +
             "kubectl delete pod " + name + ", or give the set another name",
         true);
    return false;
  }
  if (spec_.options.recreate && !spec_.on_delete && replica.ordinal >= spec_.first_updated()) {
    for (const Replica& other : replicas_) {
      if (!other.outdated || other.ordinal < spec_.first_updated()) continue;
      wait("Recreating", "waiting for " + describe(other) + " to end before the new ones start");
      return false;
    }
  }
  std::string_view revision;
  (void)template_for(replica.ordinal, revision);
  for (const Value& one : claim_templates_for(revision)) {
    const std::string claim_called = claim_name(spec_, api::name_of(one), replica.ordinal);
    const Value& claim = view_.claim(claim_called);
    if (claim.is_null()) continue;
    const bool stale = claim_is_stale(claim, spec_, replica.pod, replica.ordinal);
    if (!api::is_terminating(claim) && !stale) continue;
    if (api::is_terminating(claim)) {
      plan_.event(set_, kWarning, "FailedCreate",
                  event_text("create", name) + " failed error: pvc " + claim_called + " is being deleted");
    }
    wait("ClaimTerminating", name + " needs the claim " + quoted(claim_called) + ", which " +
                                 (stale ? "goes with the pod that was here before"
                                        : "is being deleted since " + claim["metadata"]["deletionTimestamp"].str()) +
                                 "; it is made again when it is gone");
    return false;
  }
  return true;
}

void SetPlanner::add_missing_claims(const Replica& replica, const Value& templates, std::vector<Action>& chain) {
  const std::string pod = pod_name(spec_, replica.ordinal);
  for (const Value& one : templates) {
    const std::string name = claim_name(spec_, api::name_of(one), replica.ordinal);
    if (!view_.claim(name).is_null()) continue;
    chain.push_back(create(kPersistentVolumeClaims, make_claim(set_, spec_, one, replica.ordinal)));
    chain.back()
        .succeeded(set_, kNormal, "SuccessfulCreate",
                   "create Claim " + name + " Pod " + pod + " in StatefulSet " + spec_.name + " success")
        .failed(set_, kWarning, "FailedCreate",
                "create Claim " + name + " for Pod " + pod + " in StatefulSet " + spec_.name + " failed error: ")
        .failed(set_, kWarning, "FailedCreate",
                event_text("create", pod) + " failed error: failed to create PVC " + name + ": ");
  }
}

// Annotates claims that were last used by another set with this set. Returns a sentence for each.
std::vector<std::string> SetPlanner::adopt_claims(const Replica& replica, const Value& templates,
                                                  std::vector<Action>& chain) {
  std::vector<std::string> out;
  const std::string user = user_of_claims(set_);
  for (const Value& one : templates) {
    const Value& claim = view_.claim(claim_name(spec_, api::name_of(one), replica.ordinal));
    if (claim.is_null() || api::is_terminating(claim)) continue;
    const std::string_view before = api::annotation_of(claim, kUsedByAnnotation);
    if (before == user) continue;
    Value note = Value::object({{"annotations", Value::object({{kUsedByAnnotation, user}})}});
    chain.push_back(
        patch(kPersistentVolumeClaims, claim, api::PatchType::kMerge, Value::object({{"metadata", std::move(note)}})));
    const std::string_view made = claim["metadata"]["creationTimestamp"].as_string();
    const auto created = parse_time(made);
    std::string age = created.ok() ? " (" + human_duration(now_ - created.value()) + " ago)" : "";
    out.push_back("claim " + quoted(api::name_of(claim)) + " is reused with the data on it: created " +
                  std::string(made) + age + ", last used by " +
                  (before.empty() ? "nobody that noted it"
                                  : "pod " + pod_name(spec_, replica.ordinal) + " of " + std::string(before)));
  }
  return out;
}

void SetPlanner::fix_claim_owners(const Replica& replica, std::vector<Action>& chain) {
  for (const Value& one : set_["spec"]["volumeClaimTemplates"]) {
    const Value& claim = view_.claim(claim_name(spec_, api::name_of(one), replica.ordinal));
    if (claim.is_null() || api::is_terminating(claim)) continue;
    Value owners = required_claim_owners(claim, set_, spec_, replica.pod, replica.ordinal);
    if (owners.is_null()) continue;
    if (!replica.pod.is_null() && !spec_.in_range(replica.ordinal)) {
      // From now on deleting this pod deletes the claim. Confirm with live reads that the replica is still surplus (a
      // scale-up may have come) and that this pod still exists (its successor needs the claim).
      chain.push_back(confirm_version(kStatefulSets, set_));
      chain.push_back(confirm_version(kPods, replica.pod));
    }
    fixed_claims_.insert(std::string(api::name_of(claim)));
    Value change = Value::object({{"metadata", Value::object({{"ownerReferences", std::move(owners)}})}});
    chain.push_back(patch(kPersistentVolumeClaims, claim, api::PatchType::kMerge, std::move(change), true));
  }
}

// With whenDeleted: Retain no claim may be deleted with the set, whether its ordinal has a pod now or not. A claim
// whose template was removed is never deleted with the set.
void SetPlanner::retain_claims_without_pods() {
  const Value& templates = set_["spec"]["volumeClaimTemplates"];
  auto has_template = [&](const Value& claim) {
    const int ordinal = parse_member_name(api::name_of(claim)).ordinal;
    return std::any_of(templates.begin(), templates.end(), [&](const Value& one) {
      return claim_name(spec_, api::name_of(one), ordinal) == api::name_of(claim);
    });
  };
  for (const Value& claim : view_.claims) {
    if (api::is_terminating(claim) || fixed_claims_.count(std::string(api::name_of(claim)))) continue;
    if (spec_.delete_when_deleted && has_template(claim)) continue;
    Value others = Value::array({});
    for (const Value& reference : claim["metadata"]["ownerReferences"]) {
      if (reference["uid"].as_string() != api::uid_of(set_)) others.push(reference);
    }
    Value change = Value::object({{"metadata", Value::object({{"ownerReferences", std::move(others)}})}});
    plan_.add(patch(kPersistentVolumeClaims, claim, api::PatchType::kMerge, std::move(change), true));
  }
}

// If a claim's template is removed before the claim's pod is gone, the claim is retained: removes the pod from its
// owners.
void SetPlanner::retain_claims_of_removed_templates(const Replica& replica) {
  if (!spec_.options.claim_template_updates || replica.pod.is_null()) return;
  const Value& templates = set_["spec"]["volumeClaimTemplates"];
  for (const Value& volume : replica.pod["spec"]["volumes"]) {
    const std::string_view name = volume["persistentVolumeClaim"]["claimName"].as_string();
    if (name.empty() || name != claim_name(spec_, volume["name"].as_string(), replica.ordinal)) continue;
    if (std::any_of(templates.begin(), templates.end(),
                    [&](const Value& one) { return api::name_of(one) == volume["name"].as_string(); }))
      continue;
    const Value& claim = view_.claim(std::string(name));
    if (claim.is_null() || api::is_terminating(claim)) continue;
    Value others = Value::array({});
    for (const Value& reference : claim["metadata"]["ownerReferences"]) {
      if (reference["uid"].as_string() != api::uid_of(replica.pod)) others.push(reference);
    }
    if (others.size() == claim["metadata"]["ownerReferences"].size()) continue;
    Value change = Value::object({{"metadata", Value::object({{"ownerReferences", std::move(others)}})}});
    plan_.add(patch(kPersistentVolumeClaims, claim, api::PatchType::kMerge, std::move(change), true));
  }
}

// --- Changed claim templates

// True if a claim of the pod has grown on its volume since the pod mounted it and waits for the next mount. Timestamps
// are in seconds: a pod created in the same second counts as created before.
bool SetPlanner::needs_remount(const Replica& replica) const {
  if (replica.state.pending) return false;
  const auto made = parse_time(replica.pod["metadata"]["creationTimestamp"].as_string());
  for (const Value& one : set_["spec"]["volumeClaimTemplates"]) {
    const Value& claim = view_.claim(claim_name(spec_, api::name_of(one), replica.ordinal));
    if (!waits_for_remount(claim)) continue;
    const auto grown = parse_time(api::condition_of(claim, kResizePending)["lastTransitionTime"].as_string());
    // Ignore a timestamp in the future (the clock was set back): every successor would need a remount, too.
    if (made.ok() && grown.ok() && *made <= *grown && *grown <= now_) return true;
  }
  return false;
}

// From the last ordinal to the first, one at a time: a replica's claims are patched when those of the replica before
// are complete.
void SetPlanner::update_claims() {
  if (!spec_.options.claim_template_updates || spec_.terminating) return;
  std::vector<std::string> done, left;
  std::vector<Action> now;
  for (auto replica = replicas_.rbegin(); replica != replicas_.rend() && replica->ordinal >= spec_.first_updated();
       ++replica) {
    std::string work;
    for (const Value& one : set_["spec"]["volumeClaimTemplates"]) {
      const Value& claim = view_.claim(claim_name(spec_, api::name_of(one), replica->ordinal));
      if (claim.is_null() || api::is_terminating(claim)) continue;
      const Value change = required_spec_change(claim, one);
      if (change.is_null()) {
        if (work.empty()) work = pending_growth(claim);
        continue;
      }
      work = "claim " + std::string(api::name_of(claim)) + " is to change to " + json::encode(change);
      const bool bound = claim["status"]["phase"].as_string() == "Bound";
      if (!bound) work += " when it is bound";  // the server allows no change before
      if (!change["resources"].is_null()) {
        const std::string class_name = claim["spec"]["storageClassName"].str();
        const Value& storage_class = view_.storage_class ? view_.storage_class(class_name) : view_.set["nothing"];
        if (!storage_class["allowVolumeExpansion"].as_bool() && claims_problem_.empty()) {
          claims_problem_ =
              "claim " + std::string(api::name_of(claim)) + " cannot grow: " +
              (class_name.empty()
                   ? "it has no storage class"
                   : "storage class " + quoted(class_name) +
                         (storage_class.is_null() ? " does not exist" : " does not allow volumes to grow")) +
              ". Nothing was changed; give the class allowVolumeExpansion: true, or take the new size back";
        }
      }
      if (left.empty() && bound)
        now.push_back(patch(kPersistentVolumeClaims, claim, api::PatchType::kMerge, Value::object({{"spec", change}})));
    }
    if (work.empty() && !replica->pod.is_null() &&
        !claims_match(spec_, replica->pod, set_["spec"]["volumeClaimTemplates"], replica->ordinal))
      work = "its pod is to be replaced, with the claims of the new templates";
    if (work.empty()) {
      done.push_back(pod_name(spec_, replica->ordinal));
    } else {
      left.push_back(pod_name(spec_, replica->ordinal) + ": " + work);
    }
  }
  if (left.empty()) return;
  claims_progress_ = std::to_string(done.size()) + " of " + std::to_string(done.size() + left.size()) +
                     " members are done" + (done.empty() ? "" : " (" + join(done, ", ") + ")") + "; " + left.front();
  if (!claims_problem_.empty()) return wait("ClaimTemplates", claims_problem_, true);
  wait("ClaimTemplates", "changing claims: " + left.front());
  plan_.add_chain(std::move(now));
}

}  // namespace berth::controllers::statefulset
