// What the controllers of workloads count of their pods.
#include <vector>

#include "apiserver/validation/report.h"
#include "apiserver/validation/validation.h"

namespace berth::apiserver::validation {
namespace {

struct Counts {
  std::string_view kind;
  std::vector<std::string_view> counts;       // not negative
  std::vector<std::string_view> of_replicas;  // of these, not more than there are replicas
  std::string_view too_available;             // what is said of more available replicas than ready ones; "": nothing
};
const std::vector<Counts>& all_counts() {
  static const std::vector<std::string_view> kLabeled = {"fullyLabeledReplicas", "readyReplicas", "availableReplicas"};
  static const std::vector<Counts> kAll = {
      {"ReplicationController",
       {"replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration"},
       kLabeled,
       "cannot be greater than readyReplicas"},
      {"ReplicaSet",
       {"replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration",
        "terminatingReplicas"},
       kLabeled,
       "cannot be greater than readyReplicas"},
      {"Deployment",
       {"observedGeneration", "replicas", "updatedReplicas", "readyReplicas", "availableReplicas",
        "unavailableReplicas", "terminatingReplicas", "collisionCount"},
       {"updatedReplicas", "readyReplicas", "availableReplicas"},
       "cannot be greater than readyReplicas"},
      {"StatefulSet",
       {"replicas", "readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas", "observedGeneration",
        "collisionCount"},
       {"readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"},
       "cannot be greater than status.readyReplicas"},
      {"DaemonSet",
       {"currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady", "observedGeneration",
        "updatedNumberScheduled", "numberAvailable", "numberUnavailable", "collisionCount"},
       {},
       ""},
  };
  return kAll;
}

}  // namespace

void validate_workload_status(Report& report, std::string_view kind, const Value& before, const Value& after) {
  const Path path("status");
  for (const Counts& rules : all_counts()) {
    if (rules.kind != kind) continue;
    for (std::string_view field : rules.counts) report.not_negative(path / field, after[field]);
    for (std::string_view field : rules.of_replicas) {
      const std::int64_t count = after[field].as_int();
      if (count > after["replicas"].as_int())
        report.invalid(path / field, Value(count), "cannot be greater than status.replicas");
    }
    const std::int64_t available = after["availableReplicas"].as_int(), collisions = after["collisionCount"].as_int();
    if (!rules.too_available.empty() && available > after["readyReplicas"].as_int()) {
      report.invalid(path / "availableReplicas", Value(available), rules.too_available);
    }
    const Value &old = before["collisionCount"], &fresh = after["collisionCount"];
    if (!old.is_null() && (fresh.is_null() || fresh.as_int() < old.as_int()))
      report.invalid(path / "collisionCount", Value(collisions), "cannot be decremented");
  }
}

}  // namespace berth::apiserver::validation
