#pragma once
// FakeApi: a Client over a map, for unit tests of informers, drivers and controllers. It knows resource versions,
// uids, preconditions, watches and JSON merge patches, nothing of any kind's rules. Failures are planted by the test.

#include <algorithm>
#include <deque>
#include <map>
#include <optional>

#include "api/selector.h"
#include "api/status.h"
#include "base/runtime.h"
#include "base/text.h"
#include "client/client.h"

namespace berth::client::testing {

class FakeApi final : public client::Client {
 public:
  explicit FakeApi(Runtime& runtime) : runtime_(runtime) {}

  // --- For the test

  // Puts an object as it is; uid and resourceVersion are set where missing. Notifies watchers.
  Value put(const api::Resource& resource, Value object) {
    auto& slot = objects_[resource][api::name_key(object)];
    const bool fresh = slot.is_null();
    Value& metadata = object.mut("metadata");
    if (metadata["uid"].is_null())
      metadata.set("uid", fresh ? "uid-" + std::to_string(++uids_) : slot["metadata"]["uid"].str());
    metadata.set("resourceVersion", std::to_string(++revision_));
    slot = object;
    notify(resource, fresh ? "ADDED" : "MODIFIED", object);
    return object;
  }
  void erase(const api::Resource& resource, const api::Name& name) {
    auto node = objects_[resource].extract(name);
    if (node.empty()) return;
    node.mapped().mut("metadata").set("resourceVersion", std::to_string(++revision_));
    notify(resource, "DELETED", node.mapped());
  }
  Value read(const api::Resource& resource, const api::Name& name) {
    auto& all = objects_[resource];
    auto found = all.find(name);
    return found == all.end() ? Value() : found->second;
  }
  std::size_t count(const api::Resource& resource) { return objects_[resource].size(); }
  std::vector<Value> items(const api::Resource& resource) {
    std::vector<Value> out;
    for (const auto& [name, object] : objects_[resource]) out.push_back(object);
    return out;
  }
  // Ends every watch of the collection.
  void cut(const api::Resource& resource, Code code) {
    for (Watch* watch : std::vector<Watch*>(watches_)) {
      if (watch->resource != resource) continue;
      runtime_.post([this, watch, code] {
        if (!std::erase(watches_, watch)) return;
        watch->handler->on_end(error(code, "cut"));
      });
    }
  }
  // While held, watch events wait; `release` delivers them.
  void hold(bool held) {
    held_ = held;
    if (held) return;
    auto waiting = std::move(waiting_);
    waiting_.clear();
    for (Task& task : waiting) runtime_.post(std::move(task));
  }
  // The next write of that verb ("create", "update", "patch", "delete", "get", "list") fails; with `applied` it is
  // carried out before.
  void fail_next(std::string verb, Code code, bool applied = false) {
    failures_[std::move(verb)].push_back({code, applied});
  }
  std::int64_t revision() const { return revision_; }

  std::vector<std::string> calls;  // "create pods a/b", in order

  // --- Client

  void get(const api::Resource& resource, const api::Name& name, Done done) override {
    finish("get", resource, name, std::move(done), [=, this]() -> Result<Value> {
      Value found = read(resource, name);
      if (found.is_null()) return api::not_found(resource, name.name);
      return found;
    });
  }
  void list(const api::Resource& resource, const api::ListOptions& options, ListDone done) override {
    calls.push_back("list " + resource.resource);
    auto planted = take_failure("list");
    runtime_.post([=, this, done = std::move(done)] {
      if (planted) return done(error(planted->code, "planted"));
      client::List list;
      for (auto& [name, object] : objects_[resource]) {
        if (options.ns.empty() || options.ns == name.ns) list.items.push_back(object);
      }
      list.resource_version = std::to_string(revision_);
      done(std::move(list));
    });
  }
  std::unique_ptr<client::WatchHandle> watch(const api::Resource& resource, const api::ListOptions&,
                                             std::string revision, client::WatchHandler* handler) override {
    calls.push_back("watch " + resource.resource + " " + revision);
    auto handle = std::make_unique<Watch>(*this, resource, handler);
    const std::int64_t after = parse_int(revision).value();
    for (auto& [at, type, changed, object] : history_) {
      if (at > after && changed == resource) deliver(handle.get(), type, object);
    }
    watches_.push_back(handle.get());
    return handle;
  }
  void create(const api::Resource& resource, Value object, const api::WriteOptions&, Done done) override {
    const api::Name name = api::name_key(object);
    finish("create", resource, name, std::move(done), [=, this]() -> Result<Value> {
      if (!read(resource, name).is_null()) return api::already_exists(resource, name.name);
      return put(resource, object);
    });
  }
  void create_sub(const api::Resource& resource, const api::Name& name, Value, const api::WriteOptions& options,
                  Done done) override {
    finish("create " + options.subresource, resource, name, std::move(done), [=, this]() -> Result<Value> {
      Value found = read(resource, name);
      if (found.is_null()) return api::not_found(resource, name.name);
      put(resource, found);
      return Value::object({{"kind", "Status"}, {"status", "Success"}});
    });
  }
  void update(const api::Resource& resource, Value object, const api::WriteOptions& options, Done done) override {
    const api::Name name = api::name_key(object);
    const std::string verb = options.subresource.empty() ? "update" : "update " + options.subresource;
    finish(verb, resource, name, std::move(done), [=, this]() -> Result<Value> {
      Value found = read(resource, name);
      if (found.is_null()) return api::not_found(resource, name.name);
      const std::string_view wanted = api::resource_version_of(object);
      if (!wanted.empty() && wanted != api::resource_version_of(found))
        return api::conflict(resource, name.name, "changed");
      if (object == found) return found;
      return put(resource, object);
    });
  }
  void patch(const api::Resource& resource, const api::Name& name, api::PatchType, Value patch,
             const api::WriteOptions& options, Done done) override {
    const std::string verb = options.subresource.empty() ? "patch" : "patch " + options.subresource;
    finish(verb, resource, name, std::move(done), [=, this]() -> Result<Value> {
      Value found = read(resource, name);
      if (found.is_null()) return api::not_found(resource, name.name);
      for (const char* field : {"uid", "resourceVersion"}) {
        const Value& wanted = patch["metadata"][field];
        if (!wanted.is_null() && wanted != found["metadata"][field])
          return api::conflict(resource, name.name, "changed");
      }
      Value merged = found;
      merge(merged, patch);
      if (merged == found) return found;
      return put(resource, merged);
    });
  }
  void remove(const api::Resource& resource, const api::Name& name, const api::DeleteOptions& options,
              Done done) override {
    finish("delete", resource, name, std::move(done), [=, this]() -> Result<Value> {
      Value found = read(resource, name);
      if (found.is_null()) return api::not_found(resource, name.name);
      if (!options.uid.empty() && options.uid != api::uid_of(found))
        return api::conflict(resource, name.name, "uid differs");
      erase(resource, name);
      return found;
    });
  }

 private:
  struct Watch final : client::WatchHandle {
    Watch(FakeApi& api, api::Resource resource, client::WatchHandler* handler)
        : api(api), resource(std::move(resource)), handler(handler) {}
    ~Watch() override { std::erase(api.watches_, this); }
    FakeApi& api;
    api::Resource resource;
    client::WatchHandler* handler;
  };
  struct Failure {
    Code code;
    bool applied;
  };
  struct Change {
    std::int64_t revision;
    std::string type;
    api::Resource resource;
    Value object;
  };

  static void merge(Value& target, const Value& patch) {
    if (!patch.is_object()) {
      target = patch;
      return;
    }
    if (!target.is_object()) target = Value::object();
    for (const auto& member : patch.entries()) {
      if (member.value.is_null()) {
        target.erase(member.key);
      } else {
        merge(target.mut(member.key), member.value);
      }
    }
  }
  const Failure* peek(const std::string& verb) {
    auto& queue = failures_[verb];
    return queue.empty() ? nullptr : &queue.front();
  }
  std::optional<Failure> take_failure(const std::string& verb) {
    const Failure* planted = peek(verb);
    if (!planted) return std::nullopt;
    Failure failure = *planted;
    failures_[verb].pop_front();
    return failure;
  }
  template <class Work>
  void finish(std::string verb, const api::Resource& resource, const api::Name& name, Done done, Work work) {
    calls.push_back(verb + " " + resource.resource + " " + name.to_string());
    auto planted = take_failure(cut_verb(verb));
    runtime_.post([planted, work, done = std::move(done)]() mutable {
      if (planted && !planted->applied) return done(error(planted->code, "planted"));
      Result<Value> result = work();
      if (planted) return done(error(planted->code, "planted"));
      done(std::move(result));
    });
  }
  static std::string cut_verb(const std::string& verb) { return std::string(berth::cut(verb, " ").before); }
  void notify(const api::Resource& resource, const std::string& type, const Value& object) {
    history_.push_back({revision_, type, resource, object});
    for (Watch* watch : watches_) {
      if (watch->resource == resource) deliver(watch, type, object);
    }
  }
  void deliver(Watch* watch, const std::string& type, const Value& object) {
    Task task = [this, watch, type, object] {
      if (std::find(watches_.begin(), watches_.end(), watch) != watches_.end()) watch->handler->on_event(type, object);
    };
    if (held_) {
      waiting_.push_back(std::move(task));
    } else {
      runtime_.post(std::move(task));
    }
  }

  Runtime& runtime_;
  std::map<api::Resource, std::map<api::Name, Value>> objects_;
  std::vector<Change> history_;
  std::vector<Watch*> watches_;
  std::map<std::string, std::deque<Failure>> failures_;
  std::vector<Task> waiting_;
  std::int64_t revision_ = 0;
  int uids_ = 0;
  bool held_ = false;
};

}  // namespace berth::client::testing
