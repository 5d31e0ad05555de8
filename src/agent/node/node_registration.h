#pragma once
// Keeps this machine's Node object and its Lease in the API.

#include <functional>
#include <memory>

#include "agent/pod/services.h"

namespace berth::agent {

class NodeRegistration {
 public:
  // `ready` is called once, when the Node is registered and Ready; `heartbeat` whenever the lease is to be renewed.
  // `disk_pressure`: whether the condition is true now.
  NodeRegistration(Services& services, Function<void()> ready, std::function<void()> heartbeat,
                   std::function<bool()> disk_pressure);
  ~NodeRegistration();
  void begin();
  void status_changed();      // written now, not at the next heartbeat
  const Value& node() const;  // as last seen; null before that

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace berth::agent
