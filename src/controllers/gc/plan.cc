#include "controllers/gc/plan.h"

#include <algorithm>
#include <functional>

#include "api/metadata.h"
#include "api/object.h"
#include "base/text.h"

namespace berth::controllers::gc {
namespace {

// Merge patches with resourceVersion: they work for every kind, also those without strategic merge.
Action remove_finalizer(const api::Resource& resource, const Value& object, std::string_view finalizer) {
  Value left = api::finalizers_without(object, finalizer);
  return patch(resource, object, api::PatchType::kMerge, api::in_metadata("finalizers", left.empty() ? Value() : left),
               true);
}

Action remove_owners(const api::Resource& resource, const Value& object,
                     const std::function<bool(std::string_view uid)>& drop) {
  Value left = Value::array();
  for (const Value& one : object["metadata"]["ownerReferences"]) {
    if (!drop(one["uid"].as_string())) left.push(one);
  }
  return patch(resource, object, api::PatchType::kMerge,
               api::in_metadata("ownerReferences", left.empty() ? Value() : left), true);
}

bool blocks(const Value& dependent, std::string_view owner_uid) {
  for (const Value& one : dependent["metadata"]["ownerReferences"]) {
    if (one["uid"].as_string() == owner_uid && one["blockOwnerDeletion"].as_bool()) return true;
  }
  return false;
}

Action delete_exactly(const ObjectView& view, std::string_view propagation) {
  Action action = remove(view.resource, view.object, -1, propagation);
  // Another controller may be adopting the object: delete only this version.
  action.options.resource_version = std::string(api::resource_version_of(view.object));
  return action;
}

Plan orphan_dependents(const ObjectView& view) {
  Plan plan;
  const std::string uid(api::uid_of(view.object));
  for (const Dependent& one : view.dependents) {
    plan.add(remove_owners(one.resource, one.object, [&](std::string_view owner) { return owner == uid; }));
  }
  plan.then.push_back(remove_finalizer(view.resource, view.object, kOrphan));
  return plan;
}

Plan wait_for_dependents(const ObjectView& view) {
  Plan plan;
  for (const Dependent& one : view.dependents) {
    if (blocks(one.object, api::uid_of(view.object))) return plan;
  }
  plan.add(remove_finalizer(view.resource, view.object, kForeground));
  return plan;
}

void report_misplaced(const Value& object, const Value& reference, Plan& plan) {
  const std::string ns(api::namespace_of(object));
  plan.event(object, kWarning, "OwnerRefInvalidNamespace",
             "ownerRef [" + reference["apiVersion"].str() + "/" + reference["kind"].str() + ", namespace: " + ns +
                 ", name: " + reference["name"].str() + ", uid: " + reference["uid"].str() +
                 "] does not exist in namespace " + quoted(ns));
}

Plan delete_with_owner(const ObjectView& view, Plan plan) {
  const bool circle = std::any_of(view.dependents.begin(), view.dependents.end(),
                                  [](const Dependent& one) { return is_waiting(one.object); });
  if (circle) {
    Value references = view.object["metadata"]["ownerReferences"];
    bool changed = false;
    for (std::size_t i = 0; i < references.size() && i < view.owners.size(); ++i) {
      if (view.owners[i] != OwnerState::kWaiting || !references[i]["blockOwnerDeletion"].as_bool()) continue;
      references.mut(i).set("blockOwnerDeletion", false);
      changed = true;
    }
    if (changed) {
      plan.add(patch(view.resource, view.object, api::PatchType::kMerge,
                     api::in_metadata("ownerReferences", references), true));
      return plan;  // deleted by the next plan, at its new version
    }
  }
  plan.add(delete_exactly(view, "Foreground"));
  return plan;
}

}  // namespace

// A set with ordered teardown deletes its own pods until its finalizer is removed.
bool is_waiting(const Value& object) {
  return api::is_terminating(object) && api::has_finalizer(object, kForeground) &&
         !api::has_finalizer(object, kOrderedTeardown);
}

Plan plan_object(const ObjectView& view) {
  const Value& object = view.object;
  if (object.is_null()) return {};
  if (api::is_terminating(object)) {
    if (api::has_finalizer(object, kOrphan)) return orphan_dependents(view);
    if (api::has_finalizer(object, kForeground)) return wait_for_dependents(view);
    return {};
  }
  if (view.owners.empty()) return {};
  if (std::find(view.owners.begin(), view.owners.end(), OwnerState::kUnknown) != view.owners.end()) return {};
  auto count = [&](OwnerState state) { return std::count(view.owners.begin(), view.owners.end(), state); };
  const auto existing = count(OwnerState::kExists), waiting = count(OwnerState::kWaiting);
  Plan plan;
  for (std::size_t i = 0; i < view.misplaced.size(); ++i) {
    if (view.misplaced[i]) report_misplaced(object, object["metadata"]["ownerReferences"][i], plan);
  }
  if (existing > 0) {
    if (existing == static_cast<std::ptrdiff_t>(view.owners.size())) return plan;
    std::size_t at = 0;
    plan.add(remove_owners(view.resource, object,
                           [&](std::string_view) { return view.owners[at++] != OwnerState::kExists; }));
    return plan;
  }
  if (waiting > 0 && !view.dependents.empty()) return delete_with_owner(view, std::move(plan));
  const bool orphan = api::has_finalizer(object, kOrphan), foreground = api::has_finalizer(object, kForeground);
  plan.add(delete_exactly(view, orphan ? "Orphan" : foreground ? "Foreground" : "Background"));
  return plan;
}

}  // namespace berth::controllers::gc
