#pragma once
// Keeps this machine's Node object and its Lease in the API.

#include <functional>
#include <memory>

#include "agent/services.h"

namespace berth::agent {

class NodeRegistration {
 public:
  // `ready` is called once, when the Node is registered and Ready.
  NodeRegistration(Services& services, Function<void()> ready);
  ~NodeRegistration();
  void begin();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace berth::agent
