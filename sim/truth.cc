#include "sim/truth.h"

#include <cstdio>

#include "base/check.h"
#include "base/text.h"

namespace berth::sim {

using namespace api::resources;  // NOLINT

namespace {

std::string summary(const api::Resource& resource, std::string_view type, const Value& object) {
  std::string line = std::string(type) + " " + resource.resource + " " + api::name_key(object).to_string() + " " +
                     std::string(api::uid_of(object));
  for (const Value& owner : object["metadata"]["ownerReferences"])
    line += " owner=" + owner["kind"].str() + "/" + owner["uid"].str();
  if (api::is_terminating(object)) line += " terminating";
  if (resource == kPods) {
    line += " " + object["spec"]["nodeName"].str("-") + " " + object["status"]["phase"].str("-") + " " +
            std::string(api::label_of(object, "controller-revision-hash")) +
            (api::is_pod_ready(object) ? " ready" : "");
  } else if (resource == kStatefulSets) {
    Value spec = object["spec"];
    for (const char* noise : {"template", "selector", "volumeClaimTemplates"}) spec.erase(noise);
    line += " " + json::encode(spec) + " " + json::encode(object["status"]);
  }
  return line;
}

}  // namespace

struct Truth::Follower final : api::WatchHandler {
  Follower(Truth& truth, api::Resource resource) : truth(truth), resource(std::move(resource)) {}
  void on_event(std::string_view type, const Value& object) override { truth.changed(resource, type, object); }
  void on_end(const Error& error) override { BERTH_CHECK(false, "the truth's own watch ended"); }
  Truth& truth;
  api::Resource resource;
  std::unique_ptr<api::WatchHandle> handle;
};

Truth::Truth(World& world, api::Client& client) : world_(world) {
  for (const api::Resource& resource : {kPods, kPersistentVolumeClaims, kStatefulSets, kControllerRevisions, kEvents}) {
    objects_[resource];
    followers_.push_back(std::make_unique<Follower>(*this, resource));
    Follower* follower = followers_.back().get();
    client.list(resource, {}, [follower, &client](Result<api::List> list) {
      BERTH_CHECK(list.ok(), "the truth cannot be listed");
      for (const Value& item : list->items) follower->on_event("ADDED", item);
      follower->handle = client.watch(follower->resource, {}, list->resource_version, follower);
    });
  }
}

Truth::~Truth() = default;

void Truth::changed(const api::Resource& resource, std::string_view type, const Value& object) {
  if (type == "BOOKMARK") return;
  ++changes_;
  if (trace_ && resource != kEvents) trace(summary(resource, type, object));
  last_change_ = std::string(type) + " " + resource.resource + " " + api::name_key(object).to_string();
  const api::Name name = api::name_key(object);
  auto& slot = objects_[resource][name];
  const Value before = slot;
  const Value after = type == "DELETED" ? Value() : object;
  if (resource == kPods) follow_pod(before, after);
  if (resource == kStatefulSets) {
    Value had = before["spec"], has = after["spec"];
    if (had.is_object()) had.erase("template");
    if (has.is_object()) has.erase("template");
    const bool first = before.is_null() && !wish_changed_.count(name);
    if (first) {
      wish_changed_[name] = -1h;
    } else if (had != has) {
      wish_changed_[name] = world_.elapsed();
    }
  }
  const Change change{resource, before, after};
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

Duration Truth::wish_changed(const api::Name& set) const {
  auto found = wish_changed_.find(set);
  return found == wish_changed_.end() ? Duration{} : found->second;
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
