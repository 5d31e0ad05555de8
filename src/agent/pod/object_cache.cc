#include "agent/pod/object_cache.h"

#include "client/informer.h"

namespace berth::agent {

using Key = std::pair<api::Resource, api::Name>;

struct ObjectCache::Entry {
  std::unique_ptr<client::Informer> informer;
  std::unique_ptr<client::Subscription> subscription;
  std::map<std::uint64_t, std::function<void()>> listeners;
};

struct ObjectCache::Impl {
  Impl(Runtime& runtime, client::Client& client) : runtime(runtime), client(client) {}
  Runtime& runtime;
  client::Client& client;
  std::map<Key, std::shared_ptr<Entry>> entries;
  std::uint64_t next = 0;
};

class ObjectCache::Interest {
 public:
  Interest(std::weak_ptr<Impl> impl, Key key, std::uint64_t number)
      : impl_(std::move(impl)), key_(std::move(key)), number_(number) {}
  ~Interest() {
    auto impl = impl_.lock();
    if (!impl) return;
    auto found = impl->entries.find(key_);
    if (found == impl->entries.end()) return;
    found->second->listeners.erase(number_);
    if (!found->second->listeners.empty()) return;
    // This may be a callback of the informer itself: destroy it in a later turn.
    auto entry = std::move(found->second);
    impl->entries.erase(found);
    impl->runtime.post([entry = std::move(entry)] {});
  }

 private:
  std::weak_ptr<Impl> impl_;
  Key key_;
  std::uint64_t number_;
};

ObjectCache::ObjectCache(Runtime& runtime, client::Client& client) : impl_(std::make_shared<Impl>(runtime, client)) {}
ObjectCache::~ObjectCache() = default;

void ObjectCache::close() { auto entries = std::exchange(impl_->entries, {}); }

std::shared_ptr<ObjectCache::Interest> ObjectCache::follow(const api::Resource& resource, const api::Name& name,
                                                           std::function<void()> changed) {
  Key key{resource, name};
  std::uint64_t number = ++impl_->next;
  auto& entry = impl_->entries[key];
  auto call_listeners = [impl = std::weak_ptr<Impl>(impl_), key] {
    auto alive = impl.lock();
    if (!alive) return;
    auto found = alive->entries.find(key);
    if (found == alive->entries.end()) return;
    auto listeners = found->second->listeners;  // a copy: a listener may destroy its Interest
    for (auto& [number, listener] : listeners) listener();
  };
  if (!entry) {
    entry = std::make_shared<Entry>();
    entry->informer = client::make_informer(impl_->runtime, impl_->client, resource,
                                            api::ListOptions{name.ns, "", "metadata.name=" + name.name});
    entry->subscription =
        entry->informer->subscribe([call_listeners](const Value&, const Value&) { call_listeners(); });
    entry->informer->when_synced(call_listeners);
  } else if (entry->informer->synced()) {
    impl_->runtime.post(changed);
  }
  entry->listeners[number] = std::move(changed);
  return std::make_shared<Interest>(impl_, key, number);
}

bool ObjectCache::known(const api::Resource& resource, const api::Name& name) const {
  auto found = impl_->entries.find(Key{resource, name});
  return found != impl_->entries.end() && found->second->informer->synced();
}

const Value& ObjectCache::get(const api::Resource& resource, const api::Name& name) const {
  static const Value none;
  auto found = impl_->entries.find(Key{resource, name});
  return found == impl_->entries.end() ? none : found->second->informer->get(name);
}

}  // namespace berth::agent
