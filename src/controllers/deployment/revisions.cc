#include "controllers/deployment/revisions.h"

#include <algorithm>

#include "api/object.h"
#include "base/text.h"
#include "controllers/shared/numbers.h"

namespace berth::controllers::deployment {
namespace {

bool older(const Value& a, const Value& b) {
  const std::string_view x = a["metadata"]["creationTimestamp"].as_string(),
                         y = b["metadata"]["creationTimestamp"].as_string();
  return x != y ? x < y : api::name_of(a) < api::name_of(b);
}

// Annotations of the deployment that are not copied to its sets.
bool is_private(std::string_view annotation) {
  return annotation == "kubectl.kubernetes.io/last-applied-configuration" || annotation == kRevision ||
         annotation == kRevisionHistory || annotation == kDesired || annotation == kMaximum ||
         annotation == "deprecated.deployment.rollback.to";
}

// Appends a number to a comma-separated list; the oldest are removed if it becomes too long.
std::string with_revision(std::string history, const std::string& number) {
  constexpr std::size_t kLongest = 2000;
  if (history.empty()) return number;
  while (history.size() + 1 + number.size() > kLongest) {
    const std::size_t comma = history.find(',');
    if (comma == std::string::npos) return number;
    history.erase(0, comma + 1);
  }
  return history + "," + number;
}

}  // namespace

Value find_new_set(const Value& deployment, const std::vector<Value>& sets) {
  Value found;
  for (const Value& set : sets) {
    if (!same_template(set["spec"]["template"], deployment["spec"]["template"])) continue;
    if (found.is_null() || older(set, found)) found = set;
  }
  return found;
}

std::int64_t revision_of(const Value& object) {
  const auto parsed = parse_int(api::annotation_of(object, kRevision));
  return parsed.ok() ? parsed.value() : 0;
}

RolloutBounds bounds_of(const Value& deployment) {
  RolloutBounds bounds;
  const int replicas = replicas_of(deployment);
  if (!is_rolling(deployment)) return bounds;
  const Value& rolling = deployment["spec"]["strategy"]["rollingUpdate"];
  static const Value kQuarter = "25%";
  const Value& surge = rolling["maxSurge"];
  const Value& unavailable = rolling["maxUnavailable"];
  bounds.surge = std::min(part_in(surge.is_null() ? kQuarter : surge, replicas, true), INT32_MAX - replicas);
  bounds.unavailable = part_in(unavailable.is_null() ? kQuarter : unavailable, replicas, false);
  // With both at zero no pod could be replaced.
  if (bounds.surge == 0 && bounds.unavailable == 0) bounds.unavailable = 1;
  bounds.unavailable = std::min(bounds.unavailable, replicas);
  return bounds;
}

int replicas_of(const Value& object) { return count_in(object["spec"]["replicas"], 1); }
bool is_rolling(const Value& deployment) { return deployment["spec"]["strategy"]["type"].as_string() != "Recreate"; }

void set_replica_annotations(Value& annotations, int desired, int maximum) {
  annotations.set(kDesired, std::to_string(desired)).set(kMaximum, std::to_string(maximum));
}

Value new_set_annotations(const Value& deployment, const Value& set, std::int64_t revision) {
  Value out = set["metadata"]["annotations"];
  if (out.is_null()) out = Value::object();
  for (const auto& [key, value] : deployment["metadata"]["annotations"].entries()) {
    if (!is_private(key)) out.set(key, value);
  }
  const std::int64_t old = revision_of(set);
  if (old < revision) {
    if (old > 0) out.set(kRevisionHistory, with_revision(out[kRevisionHistory].str(), std::to_string(old)));
    out.set(kRevision, std::to_string(revision));
  }
  return out;
}

Value make_set(const Value& deployment, const std::string& hash, std::int64_t revision, int replicas) {
  Value pod_template = deployment["spec"]["template"];
  pod_template.mut("metadata").mut("labels").set(kHashLabel, hash);
  Value selector = deployment["spec"]["selector"];
  selector.mut("matchLabels").set(kHashLabel, hash);
  Value annotations = new_set_annotations(deployment, Value(), revision);
  set_replica_annotations(annotations, replicas_of(deployment), replicas_of(deployment) + bounds_of(deployment).surge);
  Value set = Value::object(
      {{"apiVersion", "apps/v1"},
       {"kind", "ReplicaSet"},
       {"metadata", Value::object({{"name", std::string(api::name_of(deployment)) + "-" + hash},
                                   {"namespace", api::namespace_of(deployment)},
                                   {"labels", pod_template["metadata"]["labels"]},
                                   {"annotations", annotations},
                                   {"ownerReferences",
                                    Value::array({api::controller_reference(deployment, "apps/v1", "Deployment")})}})},
       {"spec", Value::object({{"replicas", replicas}, {"selector", selector}, {"template", pod_template}})}});
  const int min_ready = count_in(deployment["spec"]["minReadySeconds"]);
  if (min_ready > 0) set.mut("spec").set("minReadySeconds", min_ready);
  return set;
}

void order_by_age(std::vector<Value>& sets) { std::sort(sets.begin(), sets.end(), older); }

}  // namespace berth::controllers::deployment
