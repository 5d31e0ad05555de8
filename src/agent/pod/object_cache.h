#pragma once
// ObjectCache: the ConfigMaps and Secrets that pods of this node refer to. Each is watched by name for as long as a pod
// refers to it, so that the cache is idle while none changes. Owner: the Agent, on its loop.

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
  // A pod's use of one object: the object is watched until the last Interest in it is destroyed. May outlive the cache.
  class Interest;

  ObjectCache(Runtime& runtime, client::Client& client);
  ~ObjectCache();
  ObjectCache(const ObjectCache&) = delete;

  // Stops all watches at once and empties the cache. Must not be called from one of its callbacks.
  void close();

  // `changed` is called later: when the object is first known, and on each change, creation and deletion.
  std::shared_ptr<Interest> follow(const api::Resource& resource, const api::Name& name, std::function<void()> changed);

  // known(): the API has said whether the object exists. get(): the object, null where it does not exist.
  bool known(const api::Resource& resource, const api::Name& name) const;
  const Value& get(const api::Resource& resource, const api::Name& name) const;

 private:
  struct Entry;
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace berth::agent
