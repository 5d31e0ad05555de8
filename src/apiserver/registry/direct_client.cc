// A client::Client inside the server's process: its calls are calls of the Registry, and objects are shared, not
// encoded.
#include "api/patch_condition.h"
#include "api/status.h"
#include "apiserver/registry/registry.h"
#include "base/lifetime.h"

namespace berth::apiserver::registry {
namespace {

class DirectWatch final : public client::WatchHandle, public ObjectWatchSink {
 public:
  explicit DirectWatch(client::WatchHandler* handler) : handler_(handler) {}

  void hold(std::unique_ptr<registry::ObjectWatch> watch, const api::schema::Kind* kind) {
    watch_ = std::move(watch);
    kind_ = kind;
  }
  bool on_event(std::string_view type, const store::RecordPtr& record) override {
    handler_->on_event(type, record->value);
    return true;
  }
  void on_bookmark(store::Revision revision, bool) override {
    handler_->on_event("BOOKMARK",
                       Value::object({{"kind", kind_->kind},
                                      {"apiVersion", kind_->api_version()},
                                      {"metadata", Value::object({{"resourceVersion", std::to_string(revision)}})}}));
  }
  void on_end(const Error& error) override { handler_->on_end(error); }

 private:
  client::WatchHandler* handler_;
  std::unique_ptr<registry::ObjectWatch> watch_;
  const api::schema::Kind* kind_ = nullptr;
};

// A watch that could not start: calls on_end() in a later task.
class FailedWatch final : public client::WatchHandle {
 public:
  FailedWatch(Runtime& runtime, client::WatchHandler* handler, Error error) {
    runtime.post([alive = lifetime_.guard(), handler, error = std::move(error)] {
      if (alive) handler->on_end(error);
    });
  }

 private:
  Lifetime lifetime_;
};

class DirectClient final : public client::Client {
 public:
  DirectClient(Registry& registry, User user) : registry_(registry), user_(std::move(user)) {}

  void get(const api::Resource& resource, const api::Name& name, Done done) override {
    Result<Call> call = make_call(resource, name.ns, name.name, {});
    if (!call.ok()) return fail_later(std::move(done), call.error());
    registry_.get(*call, deliver_later(std::move(done)));
  }

  void list(const api::Resource& resource, const api::ListOptions& options, ListDone done) override {
    Result<Call> call = make_call(resource, options.ns, "", {});
    Result<client::List> answer = client::List{};
    if (!call.ok()) {
      answer = call.error();
    } else {
      ListCall which;
      which.label_selector = options.label_selector;
      which.field_selector = options.field_selector;
      Result<ListAnswer> listed = registry_.list(*call, which);
      if (!listed.ok()) {
        answer = listed.error();
      } else {
        answer->resource_version = listed->resource_version;
        answer->items.reserve(listed->records.size());
        for (const store::RecordPtr& record : listed->records) answer->items.push_back(record->value);
      }
    }
    registry_.runtime().post(
        [done = std::move(done), answer = std::move(answer)]() mutable { done(std::move(answer)); });
  }

  std::unique_ptr<client::WatchHandle> watch(const api::Resource& resource, const api::ListOptions& options,
                                             std::string resource_version, client::WatchHandler* handler) override {
    Result<Call> call = make_call(resource, options.ns, "", {});
    if (!call.ok()) return std::make_unique<FailedWatch>(registry_.runtime(), handler, call.error());
    WatchCall which;
    which.label_selector = options.label_selector;
    which.field_selector = options.field_selector;
    which.resource_version = std::move(resource_version);
    auto watch = std::make_unique<DirectWatch>(handler);
    Result<std::unique_ptr<ObjectWatch>> started = registry_.watch(*call, which, watch.get());
    if (!started.ok()) return std::make_unique<FailedWatch>(registry_.runtime(), handler, started.error());
    watch->hold(std::move(*started), call->kind);
    return watch;
  }

  void create(const api::Resource& resource, Value object, const api::WriteOptions& options, Done done) override {
    Result<Call> call = make_call(resource, std::string(api::namespace_of(object)), "", options);
    if (!call.ok()) return fail_later(std::move(done), call.error());
    registry_.create(*call, std::move(object), deliver_later(std::move(done)));
  }

  void create_sub(const api::Resource& resource, const api::Name& name, Value object, const api::WriteOptions& options,
                  Done done) override {
    Result<Call> call = make_call(resource, name.ns, name.name, options);
    if (!call.ok()) return fail_later(std::move(done), call.error());
    registry_.create(*call, std::move(object), deliver_later(std::move(done)));
  }

  void update(const api::Resource& resource, Value object, const api::WriteOptions& options, Done done) override {
    Result<Call> call =
        make_call(resource, std::string(api::namespace_of(object)), std::string(api::name_of(object)), options);
    if (!call.ok()) return fail_later(std::move(done), call.error());
    registry_.update(*call, std::move(object), deliver_later(std::move(done)));
  }

  void patch(const api::Resource& resource, const api::Name& name, api::PatchType type, Value patch,
             const api::WriteOptions& options, Done done) override {
    Result<Call> call = make_call(resource, name.ns, name.name, options);
    if (!call.ok()) return fail_later(std::move(done), call.error());
    registry_.patch(*call, type, std::move(patch), options.force,
                    deliver_later([done = std::move(done)](Result<Value> answer) mutable {
                      done(answer.ok() ? std::move(answer) : Result<Value>(api::as_failed_condition(answer.error())));
                    }));
  }

  void remove(const api::Resource& resource, const api::Name& name, const api::DeleteOptions& options,
              Done done) override {
    Result<Call> call = make_call(resource, name.ns, name.name, {});
    if (!call.ok()) return fail_later(std::move(done), call.error());
    registry_.remove(*call, options, deliver_later(std::move(done)));
  }

 private:
  Result<Call> make_call(const api::Resource& resource, std::string ns, std::string name,
                         const api::WriteOptions& options) {
    const api::schema::Kind* kind = registry_.schema().find(resource);
    if (kind == nullptr)
      return error(Code::kNotFound, "the server could not find the requested resource " + resource.group_resource());
    Call call;
    call.user = user_;
    call.kind = kind;
    call.ns = std::move(ns);
    call.name = std::move(name);
    call.subresource = options.subresource;
    call.field_manager = options.field_manager.empty() ? user_.name : options.field_manager;
    call.dry_run = options.dry_run;
    call.field_validation = Call::FieldValidation::kIgnore;
    return call;
  }

  void fail_later(Done done, Error error) {
    registry_.runtime().post([done = std::move(done), error = std::move(error)] { done(error); });
  }

  // The registry's callback for `done`. In a later task: a caller of Client must not be called back in its call.
  registry::Done deliver_later(Done done) {
    Runtime& runtime = registry_.runtime();
    return [&runtime, done = std::move(done)](Result<Answer> answer) mutable {
      Result<Value> value = answer.ok() ? Result<Value>(answer->value()) : Result<Value>(answer.error());
      runtime.post([done = std::move(done), value = std::move(value)]() mutable { done(std::move(value)); });
    };
  }

  Registry& registry_;
  User user_;
};

}  // namespace

bool User::in_group(std::string_view group) const {
  for (const std::string& g : groups) {
    if (g == group) return true;
  }
  return false;
}

std::unique_ptr<client::Client> make_direct_client(Registry& registry, User user) {
  return std::make_unique<DirectClient>(registry, std::move(user));
}

}  // namespace berth::apiserver::registry
