#pragma once
// Informer: a shared, indexed, always slightly stale copy of one collection, kept by list and watch over
// client::Client.
//
// Life: list; watch from the list's resourceVersion; when a watch ends, watch again from the last resourceVersion seen
// (with back-off); on kExpired, or where the list must be made again, compare the new list with the cache and notify
// the handlers of the difference. So handlers see every object's last state at least, each change at most once, in
// order. A watch event that is not newer than the cache is a repetition and is ignored.
//
// Owner: one InformerSet a process, shared by its controllers, on its Runtime's thread. Values handed out are immutable
// and may be kept. Look-ups never block and cost no copy of an object. While nothing changes, nothing runs.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/function.h"
#include "base/runtime.h"
#include "client/client.h"

namespace berth::client {

// Ends a subscription when destroyed. May outlive the informer.
class Subscription {
 public:
  virtual ~Subscription() = default;
};

class Informer {
 public:
  // `before` is null for an added object, `after` for a deleted one. Called after the cache and its indexes changed.
  // A handler may look up anything and end or make subscriptions, but not destroy the informer.
  using Handler = Function<void(const Value& before, const Value& after)>;
  // Appends the keys under which an object is found in an index. Pure.
  using IndexFunction = void (*)(const Value& object, std::vector<std::string>& keys);

  virtual ~Informer() = default;

  virtual const api::Resource& resource() const = 0;

  // The handler is called for each cached object as "added", on a later turn of the loop, then for each change.
  [[nodiscard]] virtual std::unique_ptr<Subscription> subscribe(Handler handler) = 0;

  // The first list is in the cache (and handlers have been called for it).
  virtual bool synced() const = 0;
  // Calls `task` once that is so: on a later turn where it already is.
  virtual void when_synced(Task task) = 0;

  // Null where the cache has no such object.
  virtual const Value& get(const api::Name& name) const = 0;
  const Value& get(std::string_view ns, std::string_view name) const {
    return get(api::Name{std::string(ns), std::string(name)});
  }
  // All in order of namespace and name; of one namespace only where `ns` is not empty.
  virtual std::vector<Value> list(std::string_view ns = {}) const = 0;
  virtual std::size_t size() const = 0;

  // Makes an index (names in `index::` below; the same name twice is the same index). Any time; O(size()).
  virtual void add_index(const std::string& index, IndexFunction function) = 0;
  // The objects with that index key, in order of namespace and name. The index must have been added.
  virtual std::vector<Value> by_index(const std::string& index, const std::string& key) const = 0;
  virtual std::size_t count_by_index(const std::string& index, const std::string& key) const = 0;

  // The newest resourceVersion the cache includes; 0 before the first list.
  virtual std::int64_t revision() const = 0;
  // Calls `task` (later, on the loop) when the cache includes `revision`; at once where it does already. This is how a
  // controller waits for its own writes. Only for writes to this very collection: other revisions may never be seen.
  virtual void when_seen(std::int64_t revision, Task task) = 0;
  // Calls `task` when the cache has no object `name` with that uid and exactly that resourceVersion (any more).
  virtual void when_moved_on(const api::Name& name, std::string uid, std::string resource_version, Task task) = 0;
  // Calls `cut_off` each time a watch has ended or could not be made, in a later task; the informer watches again by
  // itself. For callers that report to the server: the next server may lack what the last one received. One caller.
  virtual void on_cut_off(std::function<void()> cut_off) = 0;
};

// Ready-made indexes: informer.add_index(index::kOwner, index::by_owner).
namespace index {
inline const std::string kOwner = "owner";          // uid of the controlling owner
inline const std::string kAnyOwner = "any-owner";   // uid of every owner
inline const std::string kNode = "node";            // spec.nodeName
inline const std::string kNamespace = "namespace";  // list(ns) answers the same; for by_index of mixed callers
inline const std::string kOrphans = "orphans";      // namespace of objects without a controlling owner
inline const std::string kClaim = "claim";          // "<namespace>/<claim>" of every claim a pod mounts
inline const std::string kVolume = "volume";        // spec.volumeName of a claim
void by_owner(const Value& object, std::vector<std::string>& keys);
void by_any_owner(const Value& object, std::vector<std::string>& keys);
void by_node(const Value& object, std::vector<std::string>& keys);
void by_namespace(const Value& object, std::vector<std::string>& keys);
void by_orphan_namespace(const Value& object, std::vector<std::string>& keys);
void by_claim(const Value& pod, std::vector<std::string>& keys);
void by_volume(const Value& claim, std::vector<std::string>& keys);
}  // namespace index

// One informer on its own, not shared. Starts listing on a later turn.
std::unique_ptr<Informer> make_informer(Runtime& runtime, client::Client& client, api::Resource resource,
                                        api::ListOptions options = {});

// The informers of one process: asking for the same collection (and selection) twice gives the same informer. They
// start when first asked for. The client and the runtime outlive the set; the set outlives the controllers.
class InformerSet {
 public:
  InformerSet(Runtime& runtime, client::Client& client) : runtime_(runtime), client_(client) {}

  Informer& get(const api::Resource& resource, const api::ListOptions& options = {});
  // The informer of the complete collection; null where get() has not been called for it.
  Informer* find(const api::Resource& resource) const;
  bool synced() const;  // all of them

  Runtime& runtime() { return runtime_; }
  client::Client& client() { return client_; }

 private:
  struct Key {
    api::Resource resource;
    std::string ns, label_selector, field_selector;
    auto operator<=>(const Key&) const = default;
  };
  Runtime& runtime_;
  client::Client& client_;
  std::map<Key, std::unique_ptr<Informer>> informers_;
};

}  // namespace berth::client
