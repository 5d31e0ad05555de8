#pragma once
// A Deployment's ReplicaSets: which one has the present template, revision numbers, names and annotations. Pure.

#include <string>
#include <string_view>
#include <vector>

#include "base/json/json.h"
#include "controllers/shared/template_hash.h"

namespace berth::controllers::deployment {

inline constexpr std::string_view kRevision = "deployment.kubernetes.io/revision";
inline constexpr std::string_view kRevisionHistory = "deployment.kubernetes.io/revision-history";
inline constexpr std::string_view kDesired = "deployment.kubernetes.io/desired-replicas";
inline constexpr std::string_view kMaximum = "deployment.kubernetes.io/max-replicas";

// The oldest set with the deployment's template, or null.
Value find_new_set(const Value& deployment, const std::vector<Value>& sets);
// The number in the revision annotation; 0 if there is none.
std::int64_t revision_of(const Value& object);

// How many pods a rolling update may create above spec.replicas, and how many may be unavailable.
struct RolloutBounds {
  int surge = 0;
  int unavailable = 0;
};
RolloutBounds bounds_of(const Value& deployment);

int replicas_of(const Value& deployment_or_set);
bool is_rolling(const Value& deployment);

// The annotations of the new set (`set`, null if it is not created yet) at that revision.
Value new_set_annotations(const Value& deployment, const Value& set, std::int64_t revision);
// The replica counts that proportional scaling starts from.
void set_replica_annotations(Value& annotations, int desired, int maximum);

// A ReplicaSet for the deployment's template, without regard to name collisions.
Value make_set(const Value& deployment, const std::string& hash, std::int64_t revision, int replicas);

// Oldest first.
void order_by_age(std::vector<Value>& sets);

}  // namespace berth::controllers::deployment
