#include "apiserver/registry/event_expiry.h"

#include <algorithm>
#include <optional>

#include "apiserver/registry/state.h"
#include "base/time/time.h"

namespace berth::apiserver::registry {
namespace {

Time last_seen(const Value& event) {
  for (const char* field : {"lastTimestamp", "eventTime", "firstTimestamp"}) {
    if (Result<Time> time = parse_time(event[field].as_string()); time.ok()) return *time;
  }
  Result<Time> created = parse_time(event["metadata"]["creationTimestamp"].as_string());
  return created.ok() ? *created : Time{};
}

Time last_activity(const Value& event) {
  Time time = last_seen(event);
  Result<Time> series = parse_time(event["series"]["lastObservedTime"].as_string());
  return series.ok() ? std::max(time, *series) : time;
}

void remove_event(const StatePtr& state, const store::Record& record, store::Store::Done done) {
  store::Write write;
  write.kind = store::Write::Kind::kDelete;
  write.key = record.key;
  write.expected = record.mod_revision;
  state->store.write(std::move(write), std::move(done));
}

constexpr std::size_t kBatch = 500;  // Events deleted at once

// Down to a fiftieth below the limit, so that finding the namespace with most of them costs little for each Event
// written. Whether more are left to be deleted.
bool remove_excess(const StatePtr& state) {
  const std::size_t most = state->config.most_events;
  if (state->events.size() <= most) return false;
  const std::size_t excess = state->events.size() - most + most / 50;
  for (const auto& [key, at] : state->events.pop_excess(std::min(excess, kBatch))) {
    store::RecordPtr record = state->store.get(key);
    if (!record) continue;
    // A delete is refused where the Event was written meanwhile; it is known again then, with its new time if that is
    // known.
    remove_event(state, *record, [state, key = key, at = at](const Result<store::RecordPtr>& deleted) {
      if (deleted.ok()) return state->events.erase(key);  // schedule_event_expiry() may have met it in between
      if (!state->events.written_at(key) && state->store.get(key)) state->events.record(key, at);
    });
  }
  return excess > kBatch;
}

}  // namespace

void record_event(const StatePtr& state, const std::string& key) {
  state->events.record(key, state->runtime.monotonic());
  remove_excess(state);
}

void forget_event(const StatePtr& state, const std::string& key) { state->events.erase(key); }

void schedule_event_expiry(const StatePtr& state) {
  if (state->event_timer != 0) return;
  store::Listing events = state->store.list("/registry/core/events/");
  // An Event's lifetime counts from its last write in CLOCK_MONOTONIC, which does not jump. Of Events that were written
  // before this server started, the timestamps in the object tell how much is left. An Event that is written later ends
  // a lifetime from now or later, so the next look may wait so long.
  const Duration lifetime = state->config.event_lifetime, now = state->runtime.monotonic();
  Duration next = now + lifetime;
  std::size_t removed = 0;
  for (const store::RecordPtr& record : events.records) {
    std::optional<Duration> written = state->events.written_at(record->key);
    if (!written) {
      const Duration age =
          std::clamp<Duration>(state->runtime.now() - last_activity(record->value), Duration{}, lifetime);
      written = now - age;
      state->events.record(record->key, *written);
    }
    if (*written + lifetime > now) {
      next = std::min(next, *written + lifetime);
    } else if (removed++ < kBatch) {
      remove_event(state, *record, [state, key = record->key](const Result<store::RecordPtr>& deleted) {
        if (deleted.ok()) state->events.erase(key);
      });
    }
  }
  const bool excess = remove_excess(state);
  if (removed > kBatch) next = now;
  // Not to the second: events that end soon after each other go in one batch.
  const Duration wait = excess ? 1s : std::max<Duration>(next - now, 1s) + 60s;
  state->event_timer = state->runtime.after(wait, [state, alive = state->lifetime.guard()] {
    if (!alive) return;
    state->event_timer = 0;
    schedule_event_expiry(state);
  });
}

}  // namespace berth::apiserver::registry
