#include "controllers/daemonset/history.h"

#include <algorithm>
#include <set>

#include "controllers/daemonset/nodes.h"
#include "controllers/shared/controller_revisions.h"
#include "controllers/shared/numbers.h"
#include "controllers/shared/template_hash.h"

namespace berth::controllers::daemonset {
namespace {

using namespace api::resources;  // NOLINT

Value in_labels(std::string_view label, std::string_view value) {
  return Value::object({{"metadata", Value::object({{"labels", Value::object({{label, value}})}})}});
}

Value make_revision(const Value& set, const std::string& name, const std::string& hash, std::int64_t number) {
  Value labels = set["spec"]["template"]["metadata"]["labels"];
  labels.set(kHashLabel, hash);
  Value metadata =
      Value::object({{"name", name},
                     {"namespace", api::namespace_of(set)},
                     {"labels", std::move(labels)},
                     {"ownerReferences", Value::array({api::controller_reference(set, "apps/v1", "DaemonSet")})}});
  if (!set["metadata"]["annotations"].empty()) metadata.set("annotations", set["metadata"]["annotations"]);
  return Value::object({{"apiVersion", "apps/v1"},
                        {"kind", "ControllerRevision"},
                        {"metadata", std::move(metadata)},
                        {"data", revision_data(set)},
                        {"revision", number}});
}

std::string write_new(const Value& set, std::int64_t number, const RevisionLookup& by_name, Plan& plan) {
  const std::int64_t collisions = set["status"]["collisionCount"].as_int();
  const std::string hash = template_hash(set["spec"]["template"], collisions);
  const std::string name = std::string(api::name_of(set)) + "-" + hash;
  const Value& existing = by_name(name);
  if (existing.is_null()) {
    plan.first.push_back(create(kControllerRevisions, make_revision(set, name, hash, number)));
    return hash;
  }
  if (same_data(existing["data"], revision_data(set))) return std::string(api::label_of(existing, kHashLabel));
  plan.first.push_back(patch_status(
      kDaemonSets, set, Value::object({{"status", Value::object({{"collisionCount", collisions + 1}})}}), true));
  return "";
}

// Retains the newest of several revisions of one template; pods of the others get its hash.
void merge_duplicates(const std::vector<Value>& same, const Value& kept, const std::vector<Value>& pods, Plan& plan) {
  for (const Value& pod : pods) {
    const std::string_view hash = api::label_of(pod, kHashLabel);
    const bool duplicate =
        hash != api::label_of(kept, kHashLabel) &&
        std::any_of(same.begin(), same.end(), [&](const Value& one) { return api::label_of(one, kHashLabel) == hash; });
    if (!duplicate) continue;
    plan.first.push_back(
        patch(kPods, pod, api::PatchType::kMerge, in_labels(kHashLabel, api::label_of(kept, kHashLabel))));
  }
  for (const Value& one : same) {
    if (api::uid_of(one) != api::uid_of(kept)) plan.first.push_back(remove(kControllerRevisions, one));
  }
}

}  // namespace

RevisionHistory sync_revisions(const Value& set, const std::vector<Value>& revisions, const std::vector<Value>& pods,
                               const RevisionLookup& by_name, Plan& plan) {
  RevisionHistory out;
  const Value data = revision_data(set);
  std::vector<Value> same;
  std::int64_t newest_old = 0;
  for (const Value& one : revisions) {
    if (api::label_of(one, kHashLabel).empty()) {
      plan.first.push_back(
          patch(kControllerRevisions, one, api::PatchType::kMerge, in_labels(kHashLabel, api::name_of(one))));
    } else if (same_data(one["data"], data)) {
      same.push_back(one);
    } else {
      newest_old = std::max(newest_old, one["revision"].as_int());
      out.old.push_back(one);
    }
  }
  if (!plan.first.empty()) return out;
  const std::int64_t number = number_after(newest_old);
  if (same.empty()) {
    out.hash = write_new(set, number, by_name, plan);
    return out;
  }
  const Value& current = *std::max_element(same.begin(), same.end(), [](const Value& a, const Value& b) {
    return a["revision"].as_int() < b["revision"].as_int();
  });
  if (same.size() > 1) {
    merge_duplicates(same, current, pods, plan);
    return out;
  }
  if (current["revision"].as_int() < number) {
    Value renumbered = current;
    renumbered.set("revision", number);
    plan.first.push_back(update(kControllerRevisions, std::move(renumbered)));
  }
  out.hash = api::label_of(current, kHashLabel);
  return out;
}

std::vector<Value> unused_revisions(const Value& set, std::vector<Value> old, const std::vector<Value>& pods) {
  const int limit = count_in(set["spec"]["revisionHistoryLimit"], 10);
  std::int64_t too_many = static_cast<std::int64_t>(old.size()) - limit;
  if (too_many <= 0) return {};
  std::set<std::string, std::less<>> live;
  for (const Value& pod : pods) live.emplace(api::label_of(pod, kHashLabel));
  std::sort(old.begin(), old.end(),
            [](const Value& a, const Value& b) { return a["revision"].as_int() < b["revision"].as_int(); });
  std::vector<Value> out;
  for (const Value& one : old) {
    if (too_many <= 0) break;
    if (live.contains(api::label_of(one, kHashLabel))) continue;
    out.push_back(one);
    --too_many;
  }
  return out;
}

}  // namespace berth::controllers::daemonset
