#include "sim/truth.h"

#include <cstdio>

#include "api/metadata.h"
#include "api/set_options.h"
#include "base/check.h"
#include "base/text.h"

namespace berth::sim {

using namespace api::resources;  // NOLINT

namespace {

const std::vector<api::Resource> kFollowed = {kPods,   kPersistentVolumeClaims, kPersistentVolumes,   kStatefulSets,
                                              kEvents, kControllerRevisions,    kPodDisruptionBudgets};

// The annotations below berth.dev/.
Value options_of(const Value& object) {
  Value out = Value::object();
  for (const auto& [key, value] : object["metadata"]["annotations"].entries()) {
    if (key.starts_with("berth.dev/")) out.set(key, value);
  }
  return out;
}

std::string summary(const api::Resource& resource, std::string_view type, const Value& object) {
  std::string line = std::string(type) + " " + resource.resource + " " + api::name_key(object).to_string() + " " +
                     std::string(api::uid_of(object));
  for (const Value& owner : object["metadata"]["ownerReferences"])
    line += " owner=" + owner["kind"].str() + "/" + owner["uid"].str();
  if (api::is_terminating(object)) line += " terminating";
  if (resource == kStatefulSets) line += " " + json::encode(object["metadata"]["finalizers"]);
  if (resource == kPods) {
    line += " " + object["spec"]["nodeName"].str("-") + " " + object["status"]["phase"].str("-") + " " +
            std::string(api::label_of(object, "controller-revision-hash")) +
            (api::is_pod_ready(object) ? " ready" : "");
  } else if (resource == kStatefulSets) {
    Value spec = object["spec"];
    for (const char* noise : {"template", "selector", "volumeClaimTemplates"}) spec.erase(noise);
    line += " " + json::encode(spec) + " " + json::encode(options_of(object)) + " " + json::encode(object["status"]);
    for (const Value& one : object["spec"]["volumeClaimTemplates"])
      line += " claim=" + one["metadata"]["name"].str() + "/" + one["spec"]["resources"]["requests"]["storage"].str();
  } else if (resource == kPersistentVolumeClaims) {
    line += " " + json::encode(object["spec"]) + " " + json::encode(object["status"]);
  } else if (resource == kEvents) {
    line += " " + object["reason"].str() + ": " + object["message"].str();
  } else if (resource == kPodDisruptionBudgets) {
    Value status = object["status"];
    status.erase("conditions");
    line += " " + json::encode(options_of(object)) + " " + json::encode(object["spec"]) + " " + json::encode(status);
  }
  return line;
}

}  // namespace

bool asks_the_same(const Value& set, const Value& other) {
  if (set["spec"] != other["spec"]) return false;
  return set["metadata"]["annotations"] == other["metadata"]["annotations"] || options_of(set) == options_of(other);
}

struct Truth::Follower final : client::WatchHandler {
  Follower(Truth& truth, api::Resource resource) : truth(truth), resource(std::move(resource)) {}
  void on_event(std::string_view type, const Value& object) override { truth.changed(resource, type, object); }
  void on_end(const Error& error) override { BERTH_CHECK(false, "the truth's own watch ended"); }
  Truth& truth;
  api::Resource resource;
  client::List list;
  std::unique_ptr<client::WatchHandle> handle;
};

Truth::Truth(World& world) : world_(world) {
  for (const api::Resource& resource : kFollowed) objects_[resource];
}

void Truth::connect(client::Client& client, const std::set<std::string>& deleted) {
  auto waiting = std::make_shared<std::size_t>(kFollowed.size());
  for (const api::Resource& resource : kFollowed) {
    followers_.push_back(std::make_shared<Follower>(*this, resource));
    // All lists are answered in the same instant, at one revision; the watches start there.
    client.list(resource, {},
                [this, follower = followers_.back(), &client, waiting, deleted](Result<client::List> list) {
                  BERTH_CHECK(list.ok(), "the truth cannot be listed");
                  follower->list = std::move(*list);
                  if (--*waiting > 0) return;
                  take_lists(deleted);
                  for (const auto& one : followers_) {
                    one->handle = client.watch(one->resource, {}, one->list.resource_version, one.get());
                  }
                });
  }
}

void Truth::disconnect() { followers_.clear(); }

// Replays the changes that happened without a server connection, in the order in which they were written.
void Truth::take_lists(const std::set<std::string>& deleted) {
  std::map<std::int64_t, std::pair<const api::Resource*, Value>> newer;
  for (const auto& follower : followers_) {
    std::map<api::Name, const Value*> present;
    for (const Value& item : follower->list.items) {
      present[api::name_key(item)] = &item;
      const Value& known = get(follower->resource, api::name_key(item));
      const std::int64_t had = api::resource_version_number(known), has = api::resource_version_number(item);
      if (has < had) violation("durable", summary(follower->resource, "older after a restart:", item));
      if (has != had) newer[has] = {&follower->resource, item};
    }
    std::vector<Value> missing;
    for (const auto& [name, object] : objects_[follower->resource]) {
      auto found = present.find(name);
      if (found == present.end() || api::uid_of(*found->second) != api::uid_of(object)) missing.push_back(object);
    }
    for (const Value& object : missing) {
      if (!deleted.count(std::string(api::uid_of(object))))
        violation("durable", summary(follower->resource, "lost in a restart:", object));
      changed(follower->resource, "DELETED", object);
    }
  }
  for (const auto& [revision, item] : newer) {
    const bool known = !get(*item.first, api::name_key(item.second)).is_null();
    changed(*item.first, known ? "MODIFIED" : "ADDED", item.second);
  }
}

Truth::~Truth() = default;

void Truth::changed(const api::Resource& resource, std::string_view type, const Value& object) {
  if (type == "BOOKMARK") return;
  ++changes_;
  if (resource == kEvents) ++events_;
  if (trace_) trace(summary(resource, type, object));
  if (resource != kEvents)
    last_write_ = std::string(type) + " " + resource.resource + " " + api::name_key(object).to_string();
  last_change_ = std::string(type) + " " + resource.resource + " " + api::name_key(object).to_string();
  const api::Name name = api::name_key(object);
  auto& slot = objects_[resource][name];
  const Value before = slot;
  const Value after = type == "DELETED" ? Value() : object;
  if (resource == kPods) follow_pod(before, after);
  // A pod with DisruptionTarget was disrupted by another controller, not by its set.
  if (resource == kPods && api::condition_is_true(after, "DisruptionTarget"))
    excuse_disruption(std::string(api::uid_of(after)));
  if (resource == kStatefulSets) {
    const bool first = before.is_null() && !wish_changed_.count(name);
    if (first || !asks_the_same(before, after)) {
      spec_changed_[name] = world_.elapsed();
      Value had = before["spec"], has = after["spec"], options = options_of(before), new_options = options_of(after);
      for (Value* spec : {&had, &has}) {
        if (spec->is_object()) spec->erase("template");
      }
      for (Value* all : {&options, &new_options}) all->erase(api::kOrdinalOverrides);
      if (first) {
        wish_changed_[name] = -1h;
      } else if (had != has || options != new_options) {
        wish_changed_[name] = world_.elapsed();
      }
    }
  }
  const ObjectChange change{resource, before, after};
  for (auto& checker : checkers_) checker->on_change(change);
  if (after.is_null()) {
    objects_[resource].erase(name);
  } else {
    objects_[resource][name] = after;
  }
}

void Truth::follow_pod(const Value& before, const Value& after) {
  PodHistory& pod = pods_[api::name_key(after.is_null() ? before : after)];
  const Duration now = world_.elapsed();
  const bool ready = after["status"]["phase"].as_string() == "Running" && api::is_pod_ready(after);
  if (api::uid_of(after) != pod.uid) {
    if (!pod.uid.empty()) pod.gone_since = now;
    if (after.is_null()) {
      pod.uid.clear();
      return;
    }
    const Duration gone = pod.gone_since;
    pod = PodHistory{};
    pod.gone_since = gone;
    pod.uid = std::string(api::uid_of(after));
    pod.since = pod.unready_since = now;
  }
  if (api::controller_of(before)["uid"] != api::controller_of(after)["uid"]) pod.owned_since = now;
  if (ready && !pod.ready) pod.ready_since = now;
  if (!ready && pod.ready) pod.unready_since = now;
  pod.ready = ready;
  if (api::is_terminating(after) && !pod.terminating) {
    pod.terminating = true;
    pod.terminating_since = now;
  }
}

void Truth::process(const std::string& pod, const std::string& uid, const std::string& node, bool alive) {
  if (trace_) trace((alive ? "process of " : "end of process of ") + pod + " " + uid + " on " + node);
  for (auto& checker : checkers_) checker->on_process(pod, uid, node, alive);
}

void Truth::at_rest() {
  for (auto& checker : checkers_) checker->at_rest();
}

const Value& Truth::get(const api::Resource& resource, const api::Name& name) const {
  static const Value none;
  const auto& all = objects_.at(resource);
  auto found = all.find(name);
  return found == all.end() ? none : found->second;
}

const std::map<api::Name, Value>& Truth::all(const api::Resource& resource) const { return objects_.at(resource); }

const PodHistory& Truth::history(const api::Name& pod) const {
  static const PodHistory none;
  auto found = pods_.find(pod);
  return found == pods_.end() ? none : found->second;
}

Duration Truth::expectation_changed_at(const api::Name& set) const {
  auto found = wish_changed_.find(set);
  return found == wish_changed_.end() ? Duration{} : found->second;
}

Duration Truth::spec_changed_at(const api::Name& set) const {
  auto found = spec_changed_.find(set);
  return found == spec_changed_.end() ? Duration{} : found->second;
}

void Truth::trace(const std::string& line) const {
  if (trace_) std::printf("%10.3f %s\n", std::chrono::duration<double>(world_.elapsed()).count(), line.c_str());
}

void Truth::violation(const std::string& checker, const std::string& what) {
  trace("VIOLATION " + checker + ": " + what);
  const double seconds = std::chrono::duration<double>(world_.elapsed()).count();
  violations_.push_back(checker + ": " + what + " (at " + std::to_string(seconds) + " s)");
}

}  // namespace berth::sim
