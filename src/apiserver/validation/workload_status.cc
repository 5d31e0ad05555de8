// Statuses of workloads: counts of pods.
#include <vector>

#include "apiserver/validation/report.h"
#include "apiserver/validation/validation.h"

namespace berth::apiserver::validation {
namespace {

struct Counts {
  std::vector<std::string_view> counts;       // not negative
  std::vector<std::string_view> of_replicas;  // of these, not more than there are replicas
  std::string_view too_available;             // complaint about more available replicas than ready ones; "": allowed
};

void check_counts(Report& report, const Counts& rules, const Value& old_object, const Value& new_object) {
  const Value &before = old_object["status"], &after = new_object["status"];
  const Path path("status");
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

}  // namespace

void validate_controller_status(Report& report, const Value& before, const Value& after) {
  static const Counts kCounts{
      {"replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration"},
      {"fullyLabeledReplicas", "readyReplicas", "availableReplicas"},
      "cannot be greater than readyReplicas"};
  check_counts(report, kCounts, before, after);
}

void validate_replica_set_status(Report& report, const Value& before, const Value& after) {
  static const Counts kCounts{{"replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas",
                               "observedGeneration", "terminatingReplicas"},
                              {"fullyLabeledReplicas", "readyReplicas", "availableReplicas"},
                              "cannot be greater than readyReplicas"};
  check_counts(report, kCounts, before, after);
}

void validate_deployment_status(Report& report, const Value& before, const Value& after) {
  static const Counts kCounts{{"observedGeneration", "replicas", "updatedReplicas", "readyReplicas",
                               "availableReplicas", "unavailableReplicas", "terminatingReplicas", "collisionCount"},
                              {"updatedReplicas", "readyReplicas", "availableReplicas"},
                              "cannot be greater than readyReplicas"};
  check_counts(report, kCounts, before, after);
}

void validate_stateful_set_status(Report& report, const Value& before, const Value& after) {
  static const Counts kCounts{{"replicas", "readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas",
                               "observedGeneration", "collisionCount"},
                              {"readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"},
                              "cannot be greater than status.readyReplicas"};
  check_counts(report, kCounts, before, after);
}

void validate_daemon_set_status(Report& report, const Value& before, const Value& after) {
  static const Counts kCounts{
      {"currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady", "observedGeneration",
       "updatedNumberScheduled", "numberAvailable", "numberUnavailable", "collisionCount"},
      {},
      ""};
  check_counts(report, kCounts, before, after);
}

}  // namespace berth::apiserver::validation
