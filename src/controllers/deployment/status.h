#pragma once
// A Deployment's status: counts and the conditions Available, Progressing and ReplicaFailure. Pure.

#include <optional>
#include <string>
#include <vector>

#include "base/json/json.h"
#include "base/runtime.h"

namespace berth::controllers::deployment {

struct StatusView {
  Value deployment;
  std::vector<Value> sets;  // all
  Value new_set;            // or null
};

// Sets a condition as upstream does: nothing happens where status and reason stay; lastUpdateTime always moves
// otherwise.
void set_condition(Value& conditions, std::string_view type, std::string_view status, std::string_view reason,
                   const std::string& message, Time now);
void drop_condition(Value& conditions, std::string_view type);

bool has_deadline(const Value& deployment);

// The status to be; without the deadline's condition where `scaling` (nothing is being rolled out).
Value status_of(const StatusView& view, bool scaling, Time now);
// When the rollout will have taken too long; nothing where it is over or has no deadline.
std::optional<Duration> deadline_in(const Value& deployment, const Value& status, Time now);
// Every replica is of the new template and available.
bool is_complete(const Value& deployment, const Value& status);

}  // namespace berth::controllers::deployment
