#include "api/object.h"
#include "controllers/shared/node_selector.h"
#include "controllers/shared/volume_match.h"
#include "scheduler/filter/filter.h"

namespace berth::scheduler {
namespace {

using namespace controllers;  // NOLINT

bool is_exclusive(const Value& claim) {
  for (const Value& mode : claim["spec"]["accessModes"]) {
    if (mode.as_string() == "ReadWriteOncePod") return true;
  }
  return false;
}

// The reason why an existing claim cannot be used at all, or "".
std::string unusable(const Value& claim, const ClaimUse& use, const PodInfo& pod) {
  const std::string quoted = "persistentvolumeclaim \"" + use.name + "\" ";
  if (claim["status"]["phase"].as_string() == "Lost") {
    return quoted + "bound to non-existent persistentvolume \"" + claim["spec"]["volumeName"].str() + "\"";
  }
  if (api::is_terminating(claim)) return quoted + "is being deleted";
  if (use.ephemeral && !api::is_controlled_by(claim, pod.uid)) {
    return "PVC " + pod.ns + "/" + use.name + " was not created for pod " + pod.key + " (pod is not owner)";
  }
  return {};
}

}  // namespace

VolumeNeeds volume_needs(const PodInfo& pod, const ClusterView& view, const Snapshot& snapshot) {
  VolumeNeeds needs;
  needs.users = &snapshot;
  bool unbound = false;
  for (const ClaimUse& use : pod.claims) {
    const Value& claim = view.claim(pod.ns, use.name);
    if (claim.is_null()) {
      needs.problem = use.ephemeral ? "waiting for ephemeral volume controller to create the persistentvolumeclaim \"" +
                                          use.name + "\""
                                    : "persistentvolumeclaim \"" + use.name + "\" not found";
      return needs;
    }
    needs.problem = unusable(claim, use, pod);
    if (!needs.problem.empty()) return needs;
    const std::string key = pod.ns + "/" + use.name;
    if (is_exclusive(claim) && snapshot.users_of_claim(key) > 0) needs.exclusive.push_back(key);
    if (is_fully_bound(claim)) {
      const Value& volume = view.volume(claim["spec"]["volumeName"].str());
      if (volume.is_null()) {
        needs.missing_volume = true;
      } else {
        needs.bound.push_back({use.name, volume});
      }
      continue;
    }
    const std::string storage_class(class_of(claim));
    const bool waits = !storage_class.empty() && waits_for_consumer(view.storage_class(storage_class));
    if (waits && claim["spec"]["volumeName"].as_string().empty()) {
      needs.waiting.push_back(claim);
    } else {
      unbound = true;
    }
  }
  if (unbound) needs.problem = "pod has unbound immediate PersistentVolumeClaims";
  return needs;
}

std::string choose_volumes(const VolumeNeeds& needs, const Value& node, const ClusterView& view, VolumeChoice* choice) {
  if (needs.missing_volume) return "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)";
  for (const VolumeNeeds::BoundClaim& one : needs.bound) {
    if (!matches_node_selector(one.volume["spec"]["nodeAffinity"]["required"], node)) {
      return "node(s) didn't match PersistentVolume's node affinity";
    }
  }
  static const std::string kNothingToBind = "node(s) didn't find available persistent volumes to bind";
  std::vector<std::string> used;  // by earlier claims of this pod
  for (const Value& claim : needs.waiting) {
    const std::string_view selected = api::annotation_of(claim, kSelectedNode);
    if (!selected.empty() && selected != api::name_of(node)) return kNothingToBind;
    if (selected.empty()) {
      MatchOptions options;
      options.node = &node;
      options.waits_for_consumer = true;
      options.is_used = [&](const Value& volume) {
        for (const std::string& name : used) {
          if (name == api::name_of(volume)) return true;
        }
        return view.is_volume_used(volume);
      };
      Value found = find_match(claim, view.candidates(claim), options);
      if (!found.is_null()) {
        used.emplace_back(api::name_of(found));
        if (choice) choice->bindings.push_back(VolumeChoice::Binding{claim, std::move(found)});
        continue;
      }
    }
    const Value& storage_class = view.storage_class(std::string(class_of(claim)));
    const std::string_view provisioner = storage_class["provisioner"].as_string();
    if (provisioner.empty() || provisioner == "kubernetes.io/no-provisioner") return kNothingToBind;
    if (!claim["spec"]["selector"].is_null()) return kNothingToBind;  // the provisioner creates volumes without labels
    if (!matches_topologies(storage_class["allowedTopologies"], node)) return kNothingToBind;
    if (choice) choice->provisions.push_back(claim);
  }
  return {};
}

}  // namespace berth::scheduler
