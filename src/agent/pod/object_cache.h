#pragma once
// ConfigMaps and Secrets that pods of this node refer to: each is watched by name, for as long as a pod refers to it.
// While none changes, nothing runs. Loop thread only.

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/function.h"
#include "base/json/json.h"
#include "base/runtime.h"
#include "client/client.h"

namespace berth::agent {

class ObjectCache {
 public:
  // A pod's interest in one object; ends when destroyed. May outlive the cache.
  class Interest;

  ObjectCache(Runtime& runtime, client::Client& client);
  ~ObjectCache();
  ObjectCache(const ObjectCache&) = delete;

  // Ends all watches at once; nothing is known afterwards. Not from inside a callback of this.
  void close();

  // `changed` is called (later) when the object is first known and on every change, also when it appears or goes.
  std::shared_ptr<Interest> follow(const api::Resource& resource, const api::Name& name, std::function<void()> changed);

  // Whether it is known yet if the object exists; and the object, null where it does not.
  bool known(const api::Resource& resource, const api::Name& name) const;
  const Value& get(const api::Resource& resource, const api::Name& name) const;

 private:
  struct Entry;
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace berth::agent
