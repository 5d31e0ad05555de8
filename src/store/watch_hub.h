#pragma once
// WatchHub: hands events to watches. A watch is synced (it gets each new event as it becomes visible), behind (it reads
// the history, a bounded piece a turn of the loop, until it has caught up) or stopped (its sink asked for a pause).
// Slow watches therefore cost writers nothing; those that fall out of the history end with kExpired.
//
// A new event costs a look-up for each prefix of its key that somebody watches, nothing for all other watches.
// Loop thread only. Sinks are called from tasks of the loop only, so they may use, and destroy, anything.

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
  // An event that the map has just taken. Delivered on a later turn of the loop, together with its neighbours.
  void push(EventPtr event);

 private:
  struct Watcher;
  class Handle;
  using WatcherPtr = std::shared_ptr<Watcher>;

  void deliver();
  void pump(const WatcherPtr& watcher);
  void catch_up(const WatcherPtr& watcher);
  // False when the hub did not survive the call.
  bool hand_over(const WatcherPtr& watcher, const std::vector<EventPtr>& events);
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
  bool delivery_posted_ = false, delivery_left_ = false;  // deliver() will be called: by the loop, by an I/O helper
  Lifetime lifetime_;
};

}  // namespace berth::store
