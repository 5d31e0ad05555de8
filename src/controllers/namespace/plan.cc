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
constexpr Duration kLookAgain = 100ms;  // after deletions that no informer tells of
constexpr Duration kHeld = 8s;  // where all that is left has been deleted and is held by finalizers; upstream's time

// `left`: what this plan does not make go at once.
Value conditions_of(const Value& object, const std::vector<Contents>& left, Time now) {
  Value out = object["status"]["conditions"];
  if (out.is_null()) out = Value::array();
  std::vector<std::string> remaining;
  std::map<std::string, int> finalizers;
  for (const Contents& one : left) {
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

// Uids of the sets that end their pods themselves, one after the other: told by the finalizer they hold until then.
std::set<std::string> orderly_sets(const View& view) {
  std::set<std::string> out;
  for (const Contents& one : view.contents) {
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

// By others than this controller.
bool is_held(const Value& object) {
  return !object["metadata"]["finalizers"].empty() || object["spec"]["finalizers"].size() > 1;
}

}  // namespace

bool is_empty(const std::vector<Contents>& contents) {
  return std::all_of(contents.begin(), contents.end(), [](const Contents& one) { return one.items.empty(); });
}

Plan plan_namespace(const View& view, Time now) {
  Plan plan;
  const Value& object = view.object;
  if (!needs_emptying(object)) return plan;
  if (is_empty(view.contents)) {
    if (!view.live) return plan;
    // Seen only where the namespace stays for somebody else's finalizer, or where what is there is not true any more.
    // The namespace is released when that has been written.
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
  const std::set<std::string> orderly = orderly_sets(view);
  bool pods = false;
  for (const Contents& one : view.contents) pods = pods || (one.resource == kPods && !one.items.empty());
  std::vector<Contents> left;
  for (const Contents& one : view.contents) {
    left.push_back(Contents{one.resource, {}});
    for (const Value& item : one.items) {
      const bool now_its_turn = !pods ||
                                (one.resource == kPods && !orderly.contains(api::controller_of(item)["uid"].str())) ||
                                (one.resource == kStatefulSets && orderly.contains(std::string(api::uid_of(item))));
      const bool removed = now_its_turn && !api::is_terminating(item);
      if (removed) plan.add(remove(one.resource, item, -1, "Background"));
      // Pods take their time, and what has finalizers waits for others.
      if (!removed || one.resource == kPods || !item["metadata"]["finalizers"].empty())
        left.back().items.push_back(item);
    }
  }
  Value conditions = is_empty(left) ? object["status"]["conditions"] : conditions_of(object, left, now);
  if (conditions != object["status"]["conditions"] || object["status"]["phase"].as_string() != "Terminating") {
    Value status = Value::object({{"phase", "Terminating"}, {"conditions", std::move(conditions)}});
    plan.then.push_back(patch_status(kNamespaces, object, Value::object({{"status", std::move(status)}})));
  }
  // Informers tell of the kinds that are watched. Of the others, what was deleted just now is looked for soon, and what
  // only waits now and then.
  if (view.live) plan.requeue_after(plan.chains.empty() ? kHeld : kLookAgain);
  return plan;
}

}  // namespace berth::controllers::namespaces
