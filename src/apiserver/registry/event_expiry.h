#pragma once
// Events are deleted RegistryConfig::event_lifetime after their last write, or earlier where there are more than
// RegistryConfig::most_events. A deletion that fails is tried again when the next Event is due.

#include <string>

#include "apiserver/registry/kind_strategy.h"

namespace berth::apiserver::registry {

// Deletes expired Events, and sets a timer for the next one.
void schedule_event_expiry(const StatePtr& state);
// To be called when the Event at `key` is durable: records the time of the write, and deletes Events beyond the limit.
void record_event(const StatePtr& state, const std::string& key);
// To be called when the deletion of the Event at `key` is durable.
void forget_event(const StatePtr& state, const std::string& key);

}  // namespace berth::apiserver::registry
