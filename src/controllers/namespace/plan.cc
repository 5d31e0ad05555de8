#include "controllers/namespace/plan.h"

#include <algorithm>
#include <map>
#include <set>

#include "api/metadata.h"
#include "api/set_options.h"
#include "base/text.h"

namespace berth::controllers::namespaces {
namespace {

using namespace api::resources;  // NOLINT

constexpr std::string_view kFinalizer = "kubernetes";
constexpr Duration kRecheckDeleted = 100ms;  // delay after deleting objects of kinds without informer
constexpr Duration kRecheckHeld =
    8s;  // delay while all remaining objects are deleted and held by finalizers; as upstream

// `left`: the objects that this plan's writes do not remove at once.
Value conditions_of(const Value& object, const std::vector<NamespaceCollection>& left, Time now) {
  Value out = object["status"]["conditions"];
  if (out.is_null()) out = Value::array();
  std::vector<std::string> remaining;
  std::map<std::string, int> finalizers;
  for (const NamespaceCollection& one : left) {
    if (one.items.empty()) continue;
    remaining.push_back(one.resource.resource + "." + one.resource.group + " has " + std::to_string(one.items.size()) +
                        " resource instances");
    for (const Value& item : one.items) {
      for (const Value& finalizer : item["metadata"]["finalizers"]) ++finalizers[finalizer.str()];
    }
  }
  std::sort(remaining.begin(), remaining.end());
  std::vector<std::string> held;
  for (const auto& [finalizer, count] : finalizers)
    held.push_back(finalizer + " in " + std::to_string(count) + " resource instances");
  auto set = [&](std::string_view type, bool status, std::string_view reason, const std::string& message) {
    api::set_condition(out, type, status ? "True" : "False", reason, message, now);
  };
  set("NamespaceDeletionDiscoveryFailure", false, "ResourcesDiscovered", "All resources successfully discovered");
  set("NamespaceDeletionGroupVersionParsingFailure", false, "ParsedGroupVersions",
      "All legacy kube types successfully parsed");
  set("NamespaceDeletionContentFailure", false, "ContentDeleted",
      "All content successfully deleted, may be waiting on finalization");
  if (remaining.empty()) {
    set("NamespaceContentRemaining", false, "ContentRemoved", "All content successfully removed");
  } else {
    set("NamespaceContentRemaining", true, "SomeResourcesRemain",
        "Some resources are remaining: " + join(remaining, ", "));
  }
  if (held.empty()) {
    set("NamespaceFinalizersRemaining", false, "ContentHasNoFinalizers", "All content-preserving finalizers finished");
  } else {
    set("NamespaceFinalizersRemaining", true, "SomeFinalizersRemain",
        "Some content in the namespace has finalizers remaining: " + join(held, ", "));
  }
  return out;
}

// Uids of the sets that delete their pods in order: those with the finalizer of ordered teardown.
std::set<std::string> ordered_teardown_sets(const NamespaceView& view) {
  std::set<std::string> out;
  for (const NamespaceCollection& one : view.contents) {
    if (one.resource != kStatefulSets) continue;
    for (const Value& set : one.items) {
      if (api::has_finalizer(set, api::kOrderedTeardown)) out.emplace(api::uid_of(set));
    }
  }
  return out;
}

}  // namespace

bool needs_emptying(const Value& object) {
  if (object.is_null() || !api::is_terminating(object)) return false;
  for (const Value& one : object["spec"]["finalizers"]) {
    if (one.as_string() == kFinalizer) return true;
  }
  return false;
}

namespace {

// True if other finalizers than this controller's hold the namespace.
bool is_held(const Value& object) {
  return !object["metadata"]["finalizers"].empty() || object["spec"]["finalizers"].size() > 1;
}

}  // namespace

bool is_empty(const std::vector<NamespaceCollection>& contents) {
  return std::all_of(contents.begin(), contents.end(),
                     [](const NamespaceCollection& one) { return one.items.empty(); });
}

Plan plan_namespace(const NamespaceView& view, Time now) {
  Plan plan;
  const Value& object = view.object;
  if (!needs_emptying(object)) return plan;
  if (is_empty(view.contents)) {
    if (!view.live) return plan;
    // Write conditions only if the namespace stays for another finalizer, or if the present ones are outdated. The
    // finalizer is removed by the plan after that.
    if (is_held(object) || !object["status"]["conditions"].empty()) {
      if (Value conditions = conditions_of(object, {}, now); conditions != object["status"]["conditions"]) {
        Value status = Value::object({{"phase", "Terminating"}, {"conditions", std::move(conditions)}});
        plan.add(patch_status(kNamespaces, object, Value::object({{"status", std::move(status)}})));
        return plan;
      }
    }
    Value released = object;
    Value left = Value::array();
    for (const Value& one : object["spec"]["finalizers"]) {
      if (one.as_string() != kFinalizer) left.push(one);
    }
    released.mut("spec").set("finalizers", left);
    Action action = update(kNamespaces, std::move(released));
    action.subresource = "finalize";
    plan.add(std::move(action));
    return plan;
  }
  const std::set<std::string> ordered_sets = ordered_teardown_sets(view);
  bool pods = false;
  for (const NamespaceCollection& one : view.contents) pods = pods || (one.resource == kPods && !one.items.empty());
  std::vector<NamespaceCollection> left;
  for (const NamespaceCollection& one : view.contents) {
    left.push_back(NamespaceCollection{one.resource, {}});
    for (const Value& item : one.items) {
      const bool may_delete_now =
          !pods || (one.resource == kPods && !ordered_sets.contains(api::controller_of(item)["uid"].str())) ||
          (one.resource == kStatefulSets && ordered_sets.contains(std::string(api::uid_of(item))));
      const bool removed = may_delete_now && !api::is_terminating(item);
      if (removed) plan.add(remove(one.resource, item, -1, "Background"));
      // Pods terminate slowly, and objects with finalizers wait for other controllers.
      if (!removed || one.resource == kPods || !item["metadata"]["finalizers"].empty())
        left.back().items.push_back(item);
    }
  }
  Value conditions = is_empty(left) ? object["status"]["conditions"] : conditions_of(object, left, now);
  if (conditions != object["status"]["conditions"] || object["status"]["phase"].as_string() != "Terminating") {
    Value status = Value::object({{"phase", "Terminating"}, {"conditions", std::move(conditions)}});
    plan.then.push_back(patch_status(kNamespaces, object, Value::object({{"status", std::move(status)}})));
  }
  // Informers report deletions of watched kinds. Other kinds are listed again: soon after this plan deleted objects,
  // rarely while they only wait.
  if (view.live) plan.requeue_after(plan.chains.empty() ? kRecheckHeld : kRecheckDeleted);
  return plan;
}

}  // namespace berth::controllers::namespaces
