#include "agent/testing/test_cluster.h"

#include <sched.h>
#include <signal.h>

#include <algorithm>

#include "agent/mounts/mounts.h"
#include "api/status.h"
#include "base/files.h"
#include "base/lifetime.h"
#include "base/text.h"
#include "base/time/time.h"

// normalize_reference() belongs to the image store; its tests are there.

namespace berth::agent::testing {

// What tasks own may post and cancel when destroyed, so that happens while everything is still there.
ManualRuntime::~ManualRuntime() {
  while (!ready_.empty() || !timers_.empty()) {
    auto ready = std::exchange(ready_, {});
    auto timers = std::exchange(timers_, {});
  }
}

TimerId ManualRuntime::after(Duration delay, Task task) {
  TimerId id = ++last_;
  timers_.emplace(std::pair(clock_ + std::max(delay, Duration::zero()), id), std::move(task));
  return id;
}

void ManualRuntime::cancel(TimerId id) {
  for (auto at = timers_.begin(); at != timers_.end(); ++at) {
    if (at->first.second != id) continue;
    timers_.erase(at);
    return;
  }
}

void ManualRuntime::offload(Task work, Task done) {
  auto both = [work = std::move(work), done = std::move(done)]() mutable {
    work();
    work = nullptr;
    done();
  };
  post(std::move(both));
}

void ManualRuntime::settle() {
  while (!ready_.empty()) {
    Task task = std::move(ready_.front());
    ready_.pop_front();
    task();
  }
}

void ManualRuntime::advance(Duration by) {
  Duration end = clock_ + by;
  settle();
  while (!timers_.empty() && timers_.begin()->first.first <= end) {
    auto first = timers_.begin();
    clock_ = std::max(clock_, first->first.first);
    Task task = std::move(first->second);
    timers_.erase(first);
    task();
    settle();
  }
  clock_ = end;
}

struct FakeApi::Watch final : client::WatchHandle {
  Watch(FakeApi& api, api::Resource r, api::ListOptions o, client::WatchHandler* h)
      : api(api), resource(std::move(r)), options(std::move(o)), handler(h) {}
  ~Watch() override {
    lifetime.end();
    api.watches_.erase(this);
  }
  FakeApi& api;
  api::Resource resource;
  api::ListOptions options;
  client::WatchHandler* handler;
  std::int64_t sent = 0;
  Lifetime lifetime;
  void send(const Change& change) {
    if (change.resource != resource || change.revision <= sent || !selected(options, change.object)) return;
    sent = change.revision;
    api.runtime_.post([this, alive = lifetime.guard(), change] {
      if (alive) handler->on_event(change.type, change.object);
    });
  }
};

bool FakeApi::selected(const api::ListOptions& options, const Value& object) {
  if (!options.ns.empty() && api::namespace_of(object) != options.ns) return false;
  if (options.field_selector.empty()) return true;
  Cut parts = cut(options.field_selector, "=");
  if (parts.before == "metadata.name") return api::name_of(object) == parts.after;
  if (parts.before == "spec.nodeName") return object["spec"]["nodeName"].as_string() == parts.after;
  return false;
}

template <class T>
bool FakeApi::refuse(T& done) {
  if (!down) return false;
  runtime_.post([done = std::move(done)] { done(error(Code::kUnavailable, "the API is down")); });
  return true;
}

void FakeApi::changed(const std::string& type, const api::Resource& resource, const Value& object) {
  history_.push_back({revision_, type, resource, object});
  if (on_change) on_change(resource, type, object);
  for (Watch* watch : std::set(watches_)) watch->send(history_.back());
}

Value FakeApi::put(const api::Resource& resource, Value object) {
  api::Name name = api::name_key(object);
  bool fresh = !objects_[resource].contains(name);
  object.mut("metadata").set("resourceVersion", std::to_string(++revision_));
  if (api::uid_of(object).empty()) object.mut("metadata").set("uid", "uid-" + std::to_string(revision_));
  if (object["metadata"]["creationTimestamp"].is_null())
    object.mut("metadata").set("creationTimestamp", format_time(runtime_.now()));
  objects_[resource][name] = object;
  changed(fresh ? "ADDED" : "MODIFIED", resource, object);
  return object;
}

void FakeApi::erase(const api::Resource& resource, const api::Name& name) {
  auto found = objects_[resource].find(name);
  if (found == objects_[resource].end()) return;
  Value object = found->second;
  objects_[resource].erase(found);
  object.mut("metadata").set("resourceVersion", std::to_string(++revision_));
  changed("DELETED", resource, object);
}

void FakeApi::delete_pod(const api::Name& name, int grace) {
  Value pod = object(api::resources::kPods, name);
  if (pod.is_null()) return;
  if (grace == 0) return erase(api::resources::kPods, name);
  pod.mut("metadata").set("deletionTimestamp", format_time(runtime_.now() + std::chrono::seconds(grace)));
  pod.mut("metadata").set("deletionGracePeriodSeconds", grace);
  put(api::resources::kPods, pod);
}

Value FakeApi::object(const api::Resource& resource, const api::Name& name) const {
  auto of = objects_.find(resource);
  if (of == objects_.end()) return {};
  auto found = of->second.find(name);
  return found == of->second.end() ? Value() : found->second;
}

void FakeApi::get(const api::Resource& resource, const api::Name& name, Done done) {
  if (refuse(done)) return;
  Value found = object(resource, name);
  runtime_.post([done = std::move(done), found, resource, name] {
    if (found.is_null()) return done(api::not_found(resource, name.name));
    done(found);
  });
}

void FakeApi::list(const api::Resource& resource, const api::ListOptions& options, ListDone done) {
  if (refuse(done)) return;
  client::List out;
  for (const auto& [name, object] : objects_[resource]) {
    if (selected(options, object)) out.items.push_back(object);
  }
  out.resource_version = std::to_string(revision_);
  runtime_.post([done = std::move(done), out] { done(out); });
}

std::unique_ptr<client::WatchHandle> FakeApi::watch(const api::Resource& resource, const api::ListOptions& options,
                                                    std::string from, client::WatchHandler* handler) {
  auto watch = std::make_unique<Watch>(*this, resource, options, handler);
  watch->sent = parse_int(from).ok() ? *parse_int(from) : 0;
  watches_.insert(watch.get());
  for (const auto& change : history_) watch->send(change);
  if (down) end_watch(*watch);
  return watch;
}

void FakeApi::end_watch(Watch& watch) {
  watches_.erase(&watch);
  runtime_.post([&watch, alive = watch.lifetime.guard()] {
    if (alive) watch.handler->on_end(error(Code::kUnavailable, "the API is down"));
  });
}

void FakeApi::cut_watches() {
  for (Watch* watch : std::set(watches_)) end_watch(*watch);
}

void FakeApi::create(const api::Resource& resource, Value object, const api::WriteOptions&, Done done) {
  if (refuse(done)) return;
  if (resource == api::resources::kEvents) {
    events.push_back(object["type"].str() + " " + object["reason"].str() + " " +
                     object["involvedObject"]["name"].str() + ": " + object["message"].str());
  } else {
    ++writes;
  }
  Value stored = put(resource, std::move(object));
  runtime_.post([done = std::move(done), stored] { done(stored); });
}

void FakeApi::create_sub(const api::Resource&, const api::Name& name, Value object, const api::WriteOptions&,
                         Done done) {
  if (refuse(done)) return;
  const std::string number = ++tokens == 1 ? "" : "-" + std::to_string(tokens);
  object.set("status", Value::object({{"token", "token-of-" + name.name + number},
                                      {"expirationTimestamp", format_time(runtime_.now() + 1h)}}));
  runtime_.post([done = std::move(done), object] { done(object); });
}

void FakeApi::update(const api::Resource& resource, Value object, const api::WriteOptions&, Done done) {
  if (refuse(done)) return;
  if (conflicts > 0) {
    --conflicts;
    return runtime_.post([done = std::move(done),
                          e = api::conflict(resource, std::string(api::name_of(object)), "modified")] { done(e); });
  }
  if (resource != api::resources::kEvents) ++writes;
  Value stored = put(resource, std::move(object));
  runtime_.post([done = std::move(done), stored] { done(stored); });
}

namespace {

void merge(Value& into, const Value& patch, bool strategic) {
  for (auto [key, value] : patch.entries()) {
    if (key.starts_with("$setElementOrder")) continue;
    if (value.is_null()) {
      into.erase(key);
    } else if (value.is_object()) {
      Value below = into[key].is_object() ? into[key] : Value::object();
      merge(below, value, strategic);
      into.set(key, std::move(below));
    } else if (strategic && value.is_array() && key == "conditions") {
      Value list = into[key].is_array() ? into[key] : Value::array();
      for (const Value& one : value) {
        if (one["$patch"].as_string() == "delete") {
          Value kept = Value::array();
          for (const Value& old : list) {
            if (old["type"] != one["type"]) kept.push(old);
          }
          list = std::move(kept);
          continue;
        }
        bool found = false;
        for (std::size_t i = 0; i < list.size(); ++i) {
          if (list[i]["type"] != one["type"]) continue;
          merge(list.mut(i), one, strategic);
          found = true;
        }
        if (!found) {
          Value fresh = Value::object();
          merge(fresh, one, strategic);
          list.push(std::move(fresh));
        }
      }
      into.set(key, std::move(list));
    } else {
      into.set(key, value);
    }
  }
}

}  // namespace

void FakeApi::patch(const api::Resource& resource, const api::Name& name, api::PatchType type, Value patch,
                    const api::WriteOptions&, Done done) {
  if (refuse(done)) return;
  Value found = object(resource, name);
  std::optional<Error> wrong;
  if (found.is_null()) {
    wrong = api::not_found(resource, name.name);
  } else if (!patch["metadata"]["uid"].is_null() && patch["metadata"]["uid"] != found["metadata"]["uid"]) {
    wrong = api::conflict(resource, name.name, "uid mismatch");
  }
  if (wrong) {
    runtime_.post([done = std::move(done), e = *wrong] { done(e); });
    return;
  }
  if (resource == api::resources::kPods) pod_patches.push_back(patch);
  if (resource != api::resources::kEvents) ++writes;
  const Value before = found;
  merge(found, patch, type == api::PatchType::kStrategic);
  if (resource == api::resources::kPods && admit_pod) {
    if (Status admitted = admit_pod(found); !admitted.ok()) {
      runtime_.post([done = std::move(done), e = admitted.error()] { done(e); });
      return;
    }
  }
  Value stored = found == before ? before : put(resource, found);  // what changes nothing gets no revision
  runtime_.post([done = std::move(done), stored] { done(stored); });
}

void FakeApi::remove(const api::Resource& resource, const api::Name& name, const api::DeleteOptions& options,
                     Done done) {
  if (refuse(done)) return;
  ++writes;
  Value found = object(resource, name);
  if (found.is_null() || (!options.uid.empty() && api::uid_of(found) != options.uid)) {
    runtime_.post([done = std::move(done), resource, name] { done(api::not_found(resource, name.name)); });
    return;
  }
  erase(resource, name);
  runtime_.post([done = std::move(done), found] { done(found); });
}

void FakeContainers::recover(Function<void(Result<std::vector<ContainerStatus>>)> done) {
  std::vector<ContainerStatus> out;
  for (const auto& [id, status] : containers_) out.push_back(status);
  runtime_.post([done = std::move(done), out] { done(out); });
}

void FakeContainers::create_sandbox(const SandboxSpec& spec, Done done) {
  if (sandboxes.insert(spec.pod_uid).second) log.push_back("sandbox " + spec.name);
  runtime_.post([done = std::move(done)] { done({}); });
}

void FakeContainers::resize(const std::string&, PodResize order, Function<void(std::size_t, Status)> done) {
  auto text = [](const Limits& l) {
    return " " + std::to_string(l.cpu_milli_limit) + "m " + std::to_string(l.memory_bytes >> 20) + "Mi";
  };
  if (!resize_error.empty()) {
    runtime_.post(
        [done = std::move(done), why = std::exchange(resize_error, "")] { done(0, error(Code::kInternal, why)); });
    return;
  }
  if (order.before) log.push_back("widen" + text(*order.before));
  for (const auto& [id, limits] : order.containers) log.push_back("resize " + containers_[id].name + text(limits));
  if (order.after) log.push_back("narrow" + text(*order.after));
  runtime_.post([done = std::move(done), count = order.containers.size()] { done(count, {}); });
}

void FakeContainers::remove_sandbox(const std::string& uid, Done done) {
  sandboxes.erase(uid);
  runtime_.post([done = std::move(done)] { done({}); });
}

void FakeContainers::run_container(const ContainerSpec& spec, Function<void(Result<ContainerStatus>)> done) {
  specs.push_back(spec);
  if (!run_error.empty()) {
    runtime_.post([done = std::move(done), why = std::exchange(run_error, "")] { done(error(Code::kInternal, why)); });
    return;
  }
  log.push_back("run " + spec.name);
  ContainerStatus status;
  status.id = spec.id;
  status.pod_uid = spec.pod_uid;
  status.name = spec.name;
  status.attempt = spec.attempt;
  status.state = ContainerState::kRunning;
  status.created = status.started = runtime_.now();
  containers_[spec.id] = status;
  auto answer = std::make_shared<Function<void(Result<ContainerStatus>)>>(std::move(done));
  auto tell = [answer, status] { (*answer)(status); };
  if (hold_runs) return held_runs.push_back(tell);
  runtime_.post(tell);
}

void FakeContainers::release_runs() {
  hold_runs = false;
  for (auto& tell : std::exchange(held_runs, {})) runtime_.post(tell);
}

void FakeContainers::end(const std::string& id, int code, bool oom) {
  auto found = containers_.find(id);
  if (found == containers_.end() || found->second.state == ContainerState::kExited) return;
  found->second.state = ContainerState::kExited;
  found->second.exit_code = code;
  found->second.oom_killed = oom;
  found->second.finished = runtime_.now();
  runtime_.post([this, status = found->second] {
    if (changed_) changed_(status);
  });
}

void FakeContainers::signal_container(const std::string& id, int signal, Done done) {
  if (auto found = containers_.find(id); found != containers_.end()) {
    log.push_back("signal " + found->second.name + " " + std::to_string(signal));
    if (!ignores_term.contains(found->second.name)) end(id, 128 + signal, false);
  }
  runtime_.post([done = std::move(done)] { done({}); });
}

void FakeContainers::kill_container(const std::string& id, Done done) {
  if (auto found = containers_.find(id); found != containers_.end()) {
    log.push_back("kill " + found->second.name);
    if (!ignores_kill.contains(found->second.name)) end(id, 137, false);
  }
  runtime_.post([done = std::move(done)] { done({}); });
}

void FakeContainers::remove_container(const std::string& id, Done done) {
  if (auto found = containers_.find(id); found != containers_.end()) {
    log.push_back("remove " + found->second.name);
    containers_.erase(found);
  }
  runtime_.post([done = std::move(done)] { done({}); });
}

std::optional<ContainerStatus> FakeContainers::status(const std::string& id) const {
  auto found = containers_.find(id);
  if (found == containers_.end()) return std::nullopt;
  return found->second;
}

std::string FakeContainers::id_of(const std::string& container) const {
  for (const auto& [id, status] : containers_) {
    if (status.name == container && status.state == ContainerState::kRunning) return id;
  }
  return {};
}

void FakeContainers::exit(const std::string& container, int code, bool oom) { end(id_of(container), code, oom); }

std::vector<std::string> FakeContainers::running() const {
  std::vector<std::string> out;
  for (const auto& [id, status] : containers_) {
    if (status.state == ContainerState::kRunning) out.push_back(status.name);
  }
  std::sort(out.begin(), out.end());
  return out;
}

std::shared_ptr<const Image> FakeImages::find(std::string_view reference) const {
  auto found = images.find(std::string(reference));
  return found == images.end() ? nullptr : found->second;
}

std::shared_ptr<Image> FakeImages::add(const std::string& name, std::vector<std::string> layers) {
  auto image = std::make_shared<Image>();
  image->id = "sha256:" + name;
  image->tags = {name};
  image->size_bytes = 1000;
  image->layers = std::move(layers);
  image->config = Value::object({{"Cmd", Value::array({"/bin/run"})}, {"Env", Value::array({"PATH=/bin"})}});
  images[name] = image;
  return image;
}

void FakeImages::pull(const std::string& reference, const std::vector<PullCredentials>& given,
                      Function<void(Result<std::shared_ptr<const Image>>)> done) {
  credentials = given;
  if (auto wrong = pull_errors.find(reference); wrong != pull_errors.end()) {
    runtime_.post([done = std::move(done), why = wrong->second] { done(error(Code::kUnavailable, why)); });
    return;
  }
  std::shared_ptr<const Image> image = add(reference);
  runtime_.post([done = std::move(done), image] { done(image); });
}

void FakeVolumes::acquire(const Value& volume, const std::string& uid, Function<void(Result<std::string>)> done) {
  if (!failure.empty()) {
    runtime_.post([done = std::move(done), why = failure] { done(error(Code::kInternal, why)); });
    return;
  }
  std::string name(api::name_of(volume));
  users[name].insert(uid);
  std::string path = root_ + "/" + name;
  (void)make_directories(path);
  runtime_.post([done = std::move(done), path] { done(path); });
}

void FakeVolumes::release(const std::string& name, const std::string& uid, Function<void(Status)> done) {
  users[name].erase(uid);
  runtime_.post([done = std::move(done)] { done({}); });
}

Result<net::PodAddress> FakeNetwork::lease(const std::string& uid) {
  if (!addresses.contains(uid)) addresses[uid] = "10.244.0." + std::to_string(next_++);
  return net::PodAddress{addresses[uid], directory.empty() ? "/proc/self/ns/net" : directory + "/" + uid};
}

Status FakeNetwork::connect(const std::string&, const net::PodAddress& address, const std::string&) {
  if (directory.empty() || is_mount_point(address.namespace_path)) return {};
  BERTH_TRY(write_file(address.namespace_path, ""));
  return in_new_namespaces(CLONE_NEWNET,
                           [&] { return bind_mount("/proc/thread-self/ns/net", address.namespace_path); });
}

Status FakeNetwork::disconnect(const std::string& uid) {
  if (!directory.empty()) unmount(directory + "/" + uid);
  return {};
}

Status FakeNetwork::release(const std::string& uid) {
  addresses.erase(uid);
  return {};
}

void FakeProbes::run(const Value& action, const ProbeTarget& target, Duration, Function<void(ProbeResult)> done) {
  std::string key = !action["exec"].is_null() ? action["exec"]["command"][0].str() : action["httpGet"]["path"].str();
  log.push_back(key);
  if (hanging.contains(key)) return;
  if (broken.contains(key)) {
    return (void)runtime_.post([done = std::move(done)] { done({false, "no such program", true}); });
  }
  auto found = results.find(key);
  bool refused = refusing.contains(key);
  bool good = !refused && (found == results.end() || found->second);
  bool warned = warning.contains(key);
  auto answer = [done = std::move(done), good, warned, refused] {
    std::string text =
        warned ? "Probe terminated redirects, Response body: " : "HTTP probe failed with statuscode: 503";
    done({good, good && !warned ? "" : text, false, warned, refused});
  };
  if (takes > Duration::zero()) return (void)runtime_.after(takes, std::move(answer));
  runtime_.post(std::move(answer));
}

}  // namespace berth::agent::testing
