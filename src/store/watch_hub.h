#pragma once
// WatchHub: delivers events to watches. A watch is synced (it gets each new event when that becomes visible), behind
// (it reads the history, a bounded number of events per task, until it has caught up) or stopped (its sink paused it).
// Slow watches therefore cost writers nothing; a watch whose events left the history ends with kExpired.
//
// A new event costs one look-up per watched prefix of its key, and nothing for other watches. Loop thread only. Sinks
// are called from tasks of the loop only, so they may use, and destroy, anything.

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/lifetime.h"
#include "store/versioned_map.h"

namespace berth::store {

class WatchHub {
 public:
  WatchHub(Runtime& runtime, const VersionedMap& map);
  ~WatchHub();
  WatchHub(const WatchHub&) = delete;
  WatchHub& operator=(const WatchHub&) = delete;

  Result<std::unique_ptr<Watch>> add(std::string prefix, Revision after, WatchSink* sink);
  // An event that was just applied to the map. Delivered in a later task, together with others.
  void publish(EventPtr event);

 private:
  struct Watcher;
  class Handle;
  using WatcherPtr = std::shared_ptr<Watcher>;

  void deliver();
  void pump(const WatcherPtr& watcher);
  void catch_up(const WatcherPtr& watcher);
  // Returns false if the hub was destroyed during the call.
  bool deliver_to(const WatcherPtr& watcher, const std::vector<EventPtr>& events);
  void schedule(const WatcherPtr& watcher);
  void index(Watcher* watcher);
  void unindex(Watcher* watcher);
  void close(const WatcherPtr& watcher);
  void expire(const WatcherPtr& watcher);

  Runtime& runtime_;
  const VersionedMap& map_;
  std::set<WatcherPtr> all_;
  std::map<std::string, std::vector<Watcher*>, std::less<>> synced_;  // by prefix
  std::vector<EventPtr> undelivered_;
  bool delivery_posted_ = false,
       delivery_on_helper_ = false;  // deliver() is scheduled: on the loop, or on an I/O helper
  Lifetime lifetime_;
};

}  // namespace berth::store
