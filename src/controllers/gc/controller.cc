#include "controllers/gc/controller.h"

#include <algorithm>
#include <unordered_set>

#include "base/text.h"
#include "controllers/gc/plan.h"
#include "controllers/shared/live_reader.h"

namespace berth::controllers::gc {
namespace {

constexpr Duration kCacheLag = 2s;  // an owner created and deleted while the cache lists again causes no event
constexpr std::size_t kMaxAbsent = 16384;
const std::string kUid = "uid";

void by_uid(const Value& object, std::vector<std::string>& keys) { keys.emplace_back(api::uid_of(object)); }

void add_key(Keys& keys, std::string key) {
  if (std::find(keys.begin(), keys.end(), key) == keys.end()) keys.push_back(std::move(key));
}

bool same_references(const Value& a, const Value& b) {
  return a["metadata"]["ownerReferences"] == b["metadata"]["ownerReferences"] &&
         a["metadata"]["finalizers"] == b["metadata"]["finalizers"] && api::is_terminating(a) == api::is_terminating(b);
}

class GarbageCollector final : public Controller {
 public:
  GarbageCollector(InformerSet& informers, std::vector<DeletableKind> kinds) : reader_(informers) {
    for (DeletableKind& kind : kinds) {
      if (kind.resource.resource == "events") continue;
      Informer& informer = informers.get(kind.resource);
      informer.add_index(index::kAnyOwner, index::by_any_owner);
      if (kind.namespaced) informer.add_index(kUid, by_uid);
      kinds_.push_back(KindCache{std::move(kind), &informer});
    }
  }

  std::string name() const override { return "garbage-collector"; }
  std::string component() const override { return "garbage-collector-controller"; }

  std::vector<WatchedCollection> watches() override {
    std::vector<WatchedCollection> out;
    for (std::size_t i = 0; i < kinds_.size(); ++i) {
      out.push_back(watch_mapped(*kinds_[i].informer, [this, i](const Value& before, const Value& after, Keys& keys) {
        on_change(i, before, after, keys);
      }));
    }
    return out;
  }

  // Keys: "<index of the kind> <namespace> <name>".
  Plan plan(const std::string& key, Time) override {
    const auto parts = split(key, ' ');
    const KindCache& kind = kinds_[static_cast<std::size_t>(parse_int(parts[0]).value())];
    ObjectView view;
    view.resource = kind.kind.resource;
    view.object = kind.informer->get(parts[1], parts[2]);
    if (view.object.is_null()) return {};
    Plan retry;
    bool cache_is_stale = false;  // a live read found an owner that the cache does not contain yet
    if (!api::is_terminating(view.object)) {
      for (const Value& reference : view.object["metadata"]["ownerReferences"]) {
        view.owners.push_back(owner_state(view.object, reference, retry, cache_is_stale));
      }
      if (retry.requeue_delay || !retry.problem.empty()) return retry;
      for (std::size_t i = 0; i < view.owners.size(); ++i) {
        const Value& reference = view.object["metadata"]["ownerReferences"][i];
        view.misplaced.push_back(view.owners[i] == OwnerState::kGone && lives_elsewhere(view.object, reference));
      }
    }
    view.dependents = dependents_of(std::string(api::uid_of(view.object)));
    Plan plan = plan_object(view);
    if (cache_is_stale) plan.requeue_after(kCacheLag);
    return plan;
  }

  Value object_of_key(const std::string& key, const Informer&) const override {
    const auto parts = split(key, ' ');
    const auto kind = parse_int(parts[0]);
    if (parts.size() != 3 || !kind.ok() || *kind < 0 || static_cast<std::size_t>(*kind) >= kinds_.size()) return {};
    return kinds_[static_cast<std::size_t>(*kind)].informer->get(parts[1], parts[2]);
  }

 private:
  struct KindCache {
    DeletableKind kind;
    Informer* informer;
  };

  std::string key(std::size_t kind, std::string_view ns, std::string_view name) const {
    return std::to_string(kind) + " " + std::string(kinds_[kind].kind.namespaced ? ns : std::string_view()) + " " +
           std::string(name);
  }

  void on_change(std::size_t kind, const Value& before, const Value& after, Keys& keys) const {
    if (!before.is_null() && !after.is_null() && same_references(before, after)) return;
    const Value& object = after.is_null() ? before : after;
    if (!after.is_null() && (!after["metadata"]["ownerReferences"].empty() || api::is_terminating(after))) {
      add_key(keys, key(kind, api::namespace_of(after), api::name_of(after)));
    }
    // Enqueue dependents when their owner is deleted or starts to wait for them.
    if (after.is_null() || is_waiting(after)) dependent_keys(std::string(api::uid_of(object)), keys);
    // Enqueue a waiting owner when a dependent is deleted or loses its reference.
    if (!before.is_null()) {
      for (const Value& reference : before["metadata"]["ownerReferences"]) {
        if (const auto owner = find_kind(reference)) {
          const Value& waiting = kinds_[*owner].informer->get(
              kinds_[*owner].kind.namespaced ? api::namespace_of(before) : std::string_view(),
              reference["name"].as_string());
          if (is_waiting(waiting)) add_key(keys, key(*owner, api::namespace_of(before), reference["name"].as_string()));
        }
      }
    }
  }

  void dependent_keys(const std::string& uid, Keys& keys) const {
    for (std::size_t i = 0; i < kinds_.size(); ++i) {
      if (kinds_[i].informer->count_by_index(index::kAnyOwner, uid) == 0) continue;
      for (const Value& one : kinds_[i].informer->by_index(index::kAnyOwner, uid)) {
        add_key(keys, key(i, api::namespace_of(one), api::name_of(one)));
      }
    }
  }

  std::vector<Dependent> dependents_of(const std::string& uid) const {
    std::vector<Dependent> out;
    for (const KindCache& one : kinds_) {
      if (one.informer->count_by_index(index::kAnyOwner, uid) == 0) continue;
      for (Value& object : one.informer->by_index(index::kAnyOwner, uid)) {
        out.push_back(Dependent{one.kind.resource, std::move(object)});
      }
    }
    return out;
  }

  std::optional<std::size_t> find_kind(const Value& reference) const {
    const std::string group = api::GroupVersion::parse(reference["apiVersion"].as_string()).group;
    for (std::size_t i = 0; i < kinds_.size(); ++i) {
      if (kinds_[i].kind.kind == reference["kind"].as_string() && kinds_[i].kind.resource.group == group) return i;
    }
    return std::nullopt;
  }

  OwnerState owner_state(const Value& object, const Value& reference, Plan& retry, bool& cache_is_stale) {
    const std::string uid = reference["uid"].str();
    const auto kind = find_kind(reference);
    if (!kind) return OwnerState::kUnknown;
    const KindCache& owner = kinds_[*kind];
    // The reference lacks the namespace of a namespaced owner.
    if (owner.kind.namespaced && api::namespace_of(object).empty()) return OwnerState::kUnknown;
    const api::Name name{owner.kind.namespaced ? std::string(api::namespace_of(object)) : std::string(),
                         reference["name"].str()};
    auto state_of = [](const Value& found) { return is_waiting(found) ? OwnerState::kWaiting : OwnerState::kExists; };
    const Value& cached = owner.informer->get(name);
    if (api::uid_of(cached) == uid) return state_of(cached);
    // An object with that uid may exist elsewhere; gone is the owner at the name that the reference gives.
    const std::string reference_key = std::to_string(*kind) + " " + name.to_string() + " " + uid;
    if (absent_.count(reference_key)) return OwnerState::kGone;
    const LiveReader::Answer live = reader_.get(owner.kind.resource, name, uid);
    if (!live.known()) {
      LiveReader::requeue_until_known(live, retry);
      return OwnerState::kExists;
    }
    if (live.has_uid(uid)) {
      cache_is_stale = true;
      return state_of(live.items[0]);
    }
    if (absent_.size() >= kMaxAbsent) absent_.clear();
    absent_.insert(reference_key);
    return OwnerState::kGone;
  }

  // True if an object with the owner's uid exists in another namespace than the dependent's: the reference is invalid.
  bool lives_elsewhere(const Value& object, const Value& reference) const {
    const auto kind = find_kind(reference);
    if (!kind || !kinds_[*kind].kind.namespaced) return false;
    for (const Value& one : kinds_[*kind].informer->by_index(kUid, reference["uid"].str())) {
      if (api::namespace_of(one) != api::namespace_of(object)) return true;
    }
    return false;
  }

  std::vector<KindCache> kinds_;
  LiveReader reader_;
  std::unordered_set<std::string> absent_;  // owners (by kind, name and uid) that are gone; a uid is never reused
};

}  // namespace

std::unique_ptr<Controller> make_controller(InformerSet& informers, std::vector<DeletableKind> kinds) {
  return std::make_unique<GarbageCollector>(informers, std::move(kinds));
}

}  // namespace berth::controllers::gc
