#include "client/informer.h"

#include <algorithm>
#include <deque>
#include <set>
#include <unordered_map>

#include "api/metadata.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/metrics.h"
#include "base/text.h"

namespace berth::client {
namespace {

constexpr Duration kFirstRetry = 50ms;
constexpr Duration kLastRetry = 5s;
// A list older than the cache comes from a server that lags. After so many in a row it is applied all the same: the
// store may have been restored from a backup.
constexpr int kOlderLists = 5;

std::int64_t parse_revision(std::string_view text) { return parse_int(text).ok() ? parse_int(text).value() : 0; }

class InformerImpl final : public Informer,
                           private client::WatchHandler,
                           public std::enable_shared_from_this<InformerImpl> {
 public:
  InformerImpl(Runtime& runtime, client::Client& client, api::Resource resource, api::ListOptions options)
      : runtime_(runtime), client_(client), resource_(std::move(resource)), options_(std::move(options)) {}
  ~InformerImpl() override {
    watch_.reset();
    if (retry_) runtime_.cancel(retry_);
  }

  void start() {
    post([this] { relist(); });
  }

  const api::Resource& resource() const override { return resource_; }
  std::unique_ptr<Subscription> subscribe(Handler handler) override;
  bool synced() const override { return synced_; }
  void when_synced(Task task) override;
  const Value& get(const api::Name& name) const override;
  std::vector<Value> list(std::string_view ns) const override;
  std::size_t size() const override { return objects_.size(); }
  void add_index(const std::string& index, IndexFunction function) override;
  std::vector<Value> by_index(const std::string& index, const std::string& key) const override;
  std::size_t count_by_index(const std::string& index, const std::string& key) const override;
  std::int64_t revision() const override { return revision_; }
  void when_seen(std::int64_t revision, Task task) override;
  void when_moved_on(const api::Name& name, std::string uid, std::string resource_version, Task task) override;
  void on_cut_off(std::function<void()> cut_off) override { cut_off_ = std::move(cut_off); }

 private:
  struct Listener {
    std::uint64_t id;
    Handler handler;
    bool initialized = false;  // has been called for all objects that were cached when it subscribed
    bool unsubscribed = false;
  };
  class SubscriptionImpl final : public Subscription {
   public:
    SubscriptionImpl(std::weak_ptr<InformerImpl> informer, std::uint64_t id)
        : informer_(std::move(informer)), id_(id) {}
    ~SubscriptionImpl() override {
      if (auto informer = informer_.lock()) informer->unsubscribe(id_);
    }

   private:
    std::weak_ptr<InformerImpl> informer_;
    std::uint64_t id_;
  };
  using Objects = std::map<api::Name, Value>;
  struct ByName {
    bool operator()(const Objects::value_type* a, const Objects::value_type* b) const { return a->first < b->first; }
  };
  using Bucket = std::set<const Objects::value_type*, ByName>;
  struct Index {
    IndexFunction function;
    std::unordered_map<std::string, Bucket> buckets;
  };
  struct MovedOn {
    std::string uid, resource_version;
    Task task;
  };

  // Posts a task that is skipped where the informer has been destroyed by then.
  void post(Task task) {
    runtime_.post([weak = weak_from_this(), task = std::move(task)] {
      if (auto self = weak.lock()) task();
    });
  }

  void relist();
  void apply_list(Result<client::List> list);
  void watch_from_here();
  void on_event(std::string_view type, const Value& object) override;
  void on_end(const Error& error) override;
  void retry(bool list);

  void put(const Value& object);
  void remove(const api::Name& name, const Value* last);
  static void add_to(Index& index, const Objects::value_type& entry, const std::vector<std::string>& keys);
  static void remove_from(Index& index, const Objects::value_type& entry, const std::vector<std::string>& keys);
  // `before` or `after` is null for an added or deleted object.
  void reindex(const Objects::value_type& entry, const Value& before, const Value& after);
  void notify(const Value& before, const Value& after);
  void send_initial(std::uint64_t id);
  void unsubscribe(std::uint64_t id);
  void check_moved_on(const api::Name& name);
  void advance(std::int64_t revision);

  Runtime& runtime_;
  const LoopAffinity affinity_{runtime_};
  client::Client& client_;
  api::Resource resource_;
  api::ListOptions options_;

  Objects objects_;
  std::map<std::string, Index> indexes_;
  std::int64_t revision_ = 0;
  bool synced_ = false;
  std::vector<Task> when_synced_;
  std::multimap<std::int64_t, Task> when_seen_;
  std::multimap<api::Name, MovedOn> when_moved_on_;

  std::deque<std::unique_ptr<Listener>> listeners_;
  std::uint64_t next_listener_ = 1;
  int notifying_ = 0;  // depth of calls of handlers: meanwhile listeners that unsubscribe are only marked
  std::function<void()> cut_off_;

  std::unique_ptr<client::WatchHandle> watch_;
  TimerId retry_ = 0;
  Duration delay_{};  // the last wait before a retry; 0 after a success
  Duration watching_since_{};
  int older_lists_ = 0;
};

// Never null: what get() answers for a missing object.
const Value& null_value() {
  static const Value* value = new Value();
  return *value;
}

// --- List and watch

void InformerImpl::relist() {
  retry_ = 0;
  watch_.reset();
  client_.list(resource_, options_, [weak = weak_from_this()](Result<client::List> list) {
    if (auto self = weak.lock()) self->apply_list(std::move(list));
  });
}

void InformerImpl::apply_list(Result<client::List> list) {
  if (!list.ok()) {
    log_debug("informer", "list failed", {{"resource", resource_.group_resource()}, {"error", list.error().message}});
    return retry(true);
  }
  const std::int64_t revision = parse_revision(list->resource_version);
  if (revision < revision_ && ++older_lists_ <= kOlderLists) return retry(true);
  older_lists_ = 0;

  std::set<api::Name> present;
  for (const Value& item : list->items) present.insert(api::name_key(item));
  std::vector<api::Name> deleted;
  for (const auto& [name, value] : objects_) {
    if (!present.count(name)) deleted.push_back(name);
  }
  for (const api::Name& name : deleted) remove(name, nullptr);
  for (const Value& item : list->items) put(item);

  revision_ = std::min(revision_, revision);  // only a restored store is older; advance() raises it again
  advance(revision);
  if (!synced_) {
    synced_ = true;
    for (Task& task : when_synced_) post(std::move(task));
    when_synced_.clear();
  }
  watch_from_here();
}

void InformerImpl::watch_from_here() {
  retry_ = 0;
  watching_since_ = runtime_.monotonic();
  watch_ = client_.watch(resource_, options_, std::to_string(revision_), this);
}

void InformerImpl::on_event(std::string_view type, const Value& object) {
  affinity_.check();
  const std::int64_t revision = api::resource_version_number(object);
  delay_ = {};
  if (revision != 0 && revision <= revision_) return;  // a repetition
  if (type == "DELETED") {
    remove(api::name_key(object), &object);
  } else if (type != "BOOKMARK") {
    put(object);
  }
  advance(revision);
}

void InformerImpl::on_end(const Error& error) {
  // The handle must not be destroyed inside its own callback.
  std::shared_ptr<client::WatchHandle> ended = std::move(watch_);
  runtime_.post([ended] {});
  if (runtime_.monotonic() - watching_since_ > kLastRetry) delay_ = {};  // the watch worked for longer than a back-off
  log_debug("informer", "watch ended", {{"resource", resource_.group_resource()}, {"error", error.message}});
  if (cut_off_) post([this] { cut_off_(); });
  if (error.code == Code::kExpired && delay_ == Duration::zero()) {
    delay_ = kFirstRetry;  // only a second expiry in a row waits
    return post([this] { relist(); });
  }
  // A collection that is gone (or not there yet) has to be listed again to learn its state.
  retry(error.code == Code::kExpired || error.code == Code::kNotFound);
}

void InformerImpl::retry(bool list) {
  delay_ = delay_ == Duration::zero() ? kFirstRetry : std::min(delay_ * 2, kLastRetry);
  const auto jitter =
      Duration(static_cast<std::int64_t>(runtime_.random() % static_cast<std::uint64_t>(delay_.count() / 4 + 1)));
  if (retry_) runtime_.cancel(retry_);
  retry_ = runtime_.after(delay_ + jitter, [this, list] {
    if (list) {
      relist();
    } else {
      watch_from_here();
    }
  });
}

// --- The cache

void InformerImpl::put(const Value& object) {
  api::Name name = api::name_key(object);
  const auto [entry, added] = objects_.try_emplace(std::move(name), object);
  if (added) {
    reindex(*entry, Value(), object);
    notify(Value(), object);
  } else {
    Value before = entry->second;
    if (api::resource_version_of(before) == api::resource_version_of(object) &&
        api::uid_of(before) == api::uid_of(object))
      return;
    entry->second = object;
    reindex(*entry, before, object);
    if (api::uid_of(before) != api::uid_of(object)) {
      // Deleted and created again between two lists: for handlers these are two objects.
      notify(before, Value());
      notify(Value(), object);
    } else {
      notify(before, object);
    }
  }
  if (!when_moved_on_.empty()) check_moved_on(api::name_key(object));
}

void InformerImpl::remove(const api::Name& name, const Value* last) {
  auto found = objects_.find(name);
  if (found == objects_.end()) return;
  Value before = found->second;
  reindex(*found, before, Value());
  objects_.erase(found);
  notify(last ? *last : before, Value());
  if (!when_moved_on_.empty()) check_moved_on(name);
}

void InformerImpl::add_to(Index& index, const Objects::value_type& entry, const std::vector<std::string>& keys) {
  for (const std::string& key : keys) index.buckets[key].insert(&entry);
}

void InformerImpl::remove_from(Index& index, const Objects::value_type& entry, const std::vector<std::string>& keys) {
  for (const std::string& key : keys) {
    auto bucket = index.buckets.find(key);
    if (bucket == index.buckets.end()) continue;
    bucket->second.erase(&entry);
    if (bucket->second.empty()) index.buckets.erase(bucket);
  }
}

void InformerImpl::reindex(const Objects::value_type& entry, const Value& before, const Value& after) {
  for (auto& [name, index] : indexes_) {
    std::vector<std::string> old_keys, new_keys;
    if (!before.is_null()) index.function(before, old_keys);
    if (!after.is_null()) index.function(after, new_keys);
    if (old_keys == new_keys) continue;  // as most changes are
    remove_from(index, entry, old_keys);
    add_to(index, entry, new_keys);
  }
}

const Value& InformerImpl::get(const api::Name& name) const {
  auto found = objects_.find(name);
  return found == objects_.end() ? null_value() : found->second;
}

std::vector<Value> InformerImpl::list(std::string_view ns) const {
  std::vector<Value> out;
  if (ns.empty()) {
    out.reserve(objects_.size());
    for (const auto& [name, value] : objects_) out.push_back(value);
    return out;
  }
  for (auto at = objects_.lower_bound(api::Name{std::string(ns), ""}); at != objects_.end() && at->first.ns == ns;
       ++at) {
    out.push_back(at->second);
  }
  return out;
}

void InformerImpl::add_index(const std::string& name, IndexFunction function) {
  auto [at, fresh] = indexes_.try_emplace(name, Index{function, {}});
  if (!fresh) {
    BERTH_CHECK(at->second.function == function, "one index name, two functions");
    return;
  }
  for (const auto& entry : objects_) {
    std::vector<std::string> keys;
    function(entry.second, keys);
    add_to(at->second, entry, keys);
  }
}

std::vector<Value> InformerImpl::by_index(const std::string& name, const std::string& key) const {
  auto index = indexes_.find(name);
  BERTH_CHECK(index != indexes_.end(), "by_index() of an index that was not added");
  std::vector<Value> out;
  auto bucket = index->second.buckets.find(key);
  if (bucket == index->second.buckets.end()) return out;
  out.reserve(bucket->second.size());
  for (const auto* entry : bucket->second) out.push_back(entry->second);
  return out;
}

std::size_t InformerImpl::count_by_index(const std::string& name, const std::string& key) const {
  auto index = indexes_.find(name);
  BERTH_CHECK(index != indexes_.end(), "count_by_index() of an index that was not added");
  auto bucket = index->second.buckets.find(key);
  return bucket == index->second.buckets.end() ? 0 : bucket->second.size();
}

// --- Handlers

std::unique_ptr<Subscription> InformerImpl::subscribe(Handler handler) {
  affinity_.check();
  const std::uint64_t id = next_listener_++;
  auto listener = std::make_unique<Listener>();
  listener->id = id;
  listener->handler = std::move(handler);
  listeners_.push_back(std::move(listener));
  post([this, id] { send_initial(id); });
  return std::make_unique<SubscriptionImpl>(weak_from_this(), id);
}

void InformerImpl::send_initial(std::uint64_t id) {
  for (auto& listener : listeners_) {
    if (listener->id != id) continue;
    listener->initialized = true;
    ++notifying_;
    const std::vector<Value> cached = list({});
    Listener* raw = listener.get();
    for (const Value& object : cached) {
      if (!raw->unsubscribed) raw->handler(Value(), object);
    }
    --notifying_;
    break;
  }
  if (notifying_ == 0) std::erase_if(listeners_, [](const auto& l) { return l->unsubscribed; });
}

void InformerImpl::unsubscribe(std::uint64_t id) {
  for (auto& listener : listeners_) {
    if (listener->id == id) listener->unsubscribed = true;
  }
  if (notifying_ == 0) std::erase_if(listeners_, [](const auto& l) { return l->unsubscribed; });
}

void InformerImpl::notify(const Value& before, const Value& after) {
  ++notifying_;
  // By index: a handler may add a subscription, which invalidates iterators.
  for (std::size_t i = 0; i < listeners_.size(); ++i) {
    Listener* listener = listeners_[i].get();
    if (listener->initialized && !listener->unsubscribed) listener->handler(before, after);
  }
  if (--notifying_ == 0) std::erase_if(listeners_, [](const auto& l) { return l->unsubscribed; });
}

void InformerImpl::when_synced(Task task) {
  if (synced_) return post(std::move(task));
  when_synced_.push_back(std::move(task));
}

void InformerImpl::when_seen(std::int64_t revision, Task task) {
  if (synced_ && revision_ >= revision) return post(std::move(task));
  when_seen_.emplace(revision, std::move(task));
}

void InformerImpl::advance(std::int64_t revision) {
  revision_ = std::max(revision_, revision);
  while (!when_seen_.empty() && when_seen_.begin()->first <= revision_) {
    post(std::move(when_seen_.begin()->second));
    when_seen_.erase(when_seen_.begin());
  }
}

void InformerImpl::when_moved_on(const api::Name& name, std::string uid, std::string resource_version, Task task) {
  const Value& now = get(name);
  if (api::uid_of(now) != uid || api::resource_version_of(now) != resource_version) return post(std::move(task));
  when_moved_on_.emplace(name, MovedOn{std::move(uid), std::move(resource_version), std::move(task)});
}

void InformerImpl::check_moved_on(const api::Name& name) {
  const Value& now = get(name);
  auto [at, end] = when_moved_on_.equal_range(name);
  while (at != end) {
    if (api::uid_of(now) == at->second.uid && api::resource_version_of(now) == at->second.resource_version) {
      ++at;
      continue;
    }
    post(std::move(at->second.task));
    at = when_moved_on_.erase(at);
  }
}

// The caller's handle: posted tasks share the implementation while they run.
class InformerHandle final : public Informer {
 public:
  explicit InformerHandle(std::shared_ptr<InformerImpl> impl) : impl_(std::move(impl)) {}
  const api::Resource& resource() const override { return impl_->resource(); }
  std::unique_ptr<Subscription> subscribe(Handler handler) override { return impl_->subscribe(std::move(handler)); }
  bool synced() const override { return impl_->synced(); }
  void when_synced(Task task) override { impl_->when_synced(std::move(task)); }
  const Value& get(const api::Name& name) const override { return impl_->get(name); }
  std::vector<Value> list(std::string_view ns) const override { return impl_->list(ns); }
  std::size_t size() const override { return impl_->size(); }
  void add_index(const std::string& index, IndexFunction function) override { impl_->add_index(index, function); }
  std::vector<Value> by_index(const std::string& index, const std::string& key) const override {
    return impl_->by_index(index, key);
  }
  std::size_t count_by_index(const std::string& index, const std::string& key) const override {
    return impl_->count_by_index(index, key);
  }
  std::int64_t revision() const override { return impl_->revision(); }
  void when_seen(std::int64_t revision, Task task) override { impl_->when_seen(revision, std::move(task)); }
  void when_moved_on(const api::Name& name, std::string uid, std::string resource_version, Task task) override {
    impl_->when_moved_on(name, std::move(uid), std::move(resource_version), std::move(task));
  }
  void on_cut_off(std::function<void()> cut_off) override { impl_->on_cut_off(std::move(cut_off)); }

 private:
  std::shared_ptr<InformerImpl> impl_;
};

}  // namespace

namespace index {

void by_owner(const Value& object, std::vector<std::string>& keys) {
  const Value& owner = api::controller_of(object);
  if (!owner.is_null()) keys.push_back(owner["uid"].str());
}

void by_any_owner(const Value& object, std::vector<std::string>& keys) {
  for (const Value& owner : object["metadata"]["ownerReferences"]) keys.push_back(owner["uid"].str());
}

void by_node(const Value& object, std::vector<std::string>& keys) {
  const std::string_view node = object["spec"]["nodeName"].as_string();
  if (!node.empty()) keys.emplace_back(node);
}

void by_namespace(const Value& object, std::vector<std::string>& keys) { keys.emplace_back(api::namespace_of(object)); }

void by_orphan_namespace(const Value& object, std::vector<std::string>& keys) {
  if (api::controller_of(object).is_null()) keys.emplace_back(api::namespace_of(object));
}

void by_claim(const Value& pod, std::vector<std::string>& keys) {
  const std::string ns(api::namespace_of(pod));
  for (const Value& volume : pod["spec"]["volumes"]) {
    const std::string_view claim = volume["persistentVolumeClaim"]["claimName"].as_string();
    if (!claim.empty()) keys.push_back(ns + "/" + std::string(claim));
    // A generic ephemeral volume mounts the claim "<pod>-<volume>".
    if (volume.contains("ephemeral"))
      keys.push_back(ns + "/" + std::string(api::name_of(pod)) + "-" + volume["name"].str());
  }
}

void by_volume(const Value& claim, std::vector<std::string>& keys) {
  const std::string_view volume = claim["spec"]["volumeName"].as_string();
  if (!volume.empty()) keys.emplace_back(volume);
}

}  // namespace index

std::unique_ptr<Informer> make_informer(Runtime& runtime, client::Client& client, api::Resource resource,
                                        api::ListOptions options) {
  auto impl = std::make_shared<InformerImpl>(runtime, client, std::move(resource), std::move(options));
  impl->start();
  return std::make_unique<InformerHandle>(std::move(impl));
}

Informer& InformerSet::get(const api::Resource& resource, const api::ListOptions& options) {
  auto& informer = informers_[Key{resource, options.ns, options.label_selector, options.field_selector}];
  if (!informer) informer = make_informer(runtime_, client_, resource, options);
  return *informer;
}

Informer* InformerSet::find(const api::Resource& resource) const {
  auto found = informers_.find(Key{resource, "", "", ""});
  return found == informers_.end() ? nullptr : found->second.get();
}

bool InformerSet::synced() const {
  return std::all_of(informers_.begin(), informers_.end(), [](const auto& entry) { return entry.second->synced(); });
}

}  // namespace berth::client
