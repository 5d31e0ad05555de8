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

// As upstream: no change if status and reason are equal; otherwise lastUpdateTime is set.
void set_condition(Value& conditions, std::string_view type, std::string_view status, std::string_view reason,
                   const std::string& message, Time now);
void remove_condition(Value& conditions, std::string_view type);

bool has_deadline(const Value& deployment);

// The new status. `scaling`: no rollout is in progress, so the conditions of a rollout stay as they are.
Value status_of(const StatusView& view, bool scaling, Time now);
// Time until the rollout exceeds its deadline; empty if it is complete or has no deadline.
std::optional<Duration> deadline_in(const Value& deployment, const Value& status, Time now);
// True if every replica has the new template and is available.
bool is_complete(const Value& deployment, const Value& status);

}  // namespace berth::controllers::deployment
