#pragma once
// EventRecorder: writes core/v1 Events about objects, as client-go's recorder does: a repeated event raises `count` and
// `lastTimestamp` of the one that exists, many similar ones are combined, and one object cannot flood the store.
//
// Best effort: an event that cannot be written after some tries is dropped, without an error. Owner: one driver (or
// agent), on its Runtime's thread. Memory is bounded. At rest nothing runs.

#include <memory>
#include <string>
#include <string_view>

#include "base/runtime.h"
#include "client/client.h"

namespace berth::client {

inline constexpr std::string_view kNormal = "Normal";
inline constexpr std::string_view kWarning = "Warning";

class EventRecorder {
 public:
  struct Limits {
    int burst = 25;          // events about one object at once ...
    Duration refill = 300s;  // ... and one more each `refill`
    int similar = 10;        // events that differ in their message only, within `window`, before combining
    Duration window = 600s;
    std::size_t remembered = 4096;  // objects and events whose counts are stored
    std::size_t queued = 1000;      // writes not yet answered; further events are dropped
  };

  // `component` becomes source.component and reportingComponent ("statefulset-controller", "kubelet"), `host`
  // source.host and reportingInstance where not empty.
  EventRecorder(Runtime& runtime, client::Client& client, std::string component, std::string host = {});
  EventRecorder(Runtime& runtime, client::Client& client, std::string component, std::string host, Limits limits);
  ~EventRecorder();
  EventRecorder(const EventRecorder&) = delete;

  // `object`: anything with apiVersion, kind and metadata; its resourceVersion and uid go into involvedObject.
  // `type`: kNormal or kWarning. `field_path`: e.g. "spec.containers{web}".
  void event(const Value& object, std::string_view type, std::string_view reason, std::string_view message,
             std::string_view field_path = {});

  // Writes under way or waiting. 0 at rest.
  std::size_t pending() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace berth::client
