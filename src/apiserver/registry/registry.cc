// The registry's state, and the verbs create and update.
#include "apiserver/registry/registry.h"

#include "api/status.h"
#include "apiserver/registry/commit.h"
#include "apiserver/registry/decode.h"
#include "apiserver/registry/state.h"
#include "apiserver/registry/write.h"
#include "base/check.h"

namespace berth::apiserver::registry {
Registry::State::State(Runtime& r, store::Store& s, const api::schema::Schema& sc, RegistryConfig c)
    : runtime(r),
      store(s),
      schema(sc),
      config(std::move(c)),
      addresses(config.service_cidr, config.node_port_first, config.node_port_last) {}

const api::schema::Kind& Registry::State::kind(const api::Resource& resource) const {
  const api::schema::Kind* found = schema.find(resource);
  BERTH_CHECK(found != nullptr, "a built-in kind is missing from the schema");
  return *found;
}

store::RecordPtr Registry::State::find(const api::Resource& resource, std::string_view ns,
                                       std::string_view name) const {
  return store.head(store_key(kind(resource), ns, name));
}

std::vector<store::RecordPtr> Registry::State::list(const api::Resource& resource, std::string_view ns) const {
  return store.list(store_key(kind(resource), ns, "")).records;
}

std::vector<store::RecordPtr> Registry::State::list_newest(const api::Resource& resource, std::string_view ns) const {
  std::vector<store::RecordPtr> out;
  for (const store::RecordPtr& record : list(resource, ns)) {
    if (store::RecordPtr head = store.head(record->key)) out.push_back(std::move(head));
  }
  return out;
}

Registry::Registry(Runtime& runtime, store::Store& store, const api::schema::Schema& schema, RegistryConfig config)
    : state_(std::make_shared<State>(runtime, store, schema, std::move(config))) {}

Registry::~Registry() {
  state_->lifetime.end();
  if (state_->event_timer != 0) state_->runtime.cancel(state_->event_timer);
}

const api::schema::Schema& Registry::schema() const { return state_->schema; }
store::Store& Registry::store() { return state_->store; }
Runtime& Registry::runtime() { return state_->runtime; }

void Registry::create(const Call& call, Value object, Done done, std::string_view json_text) {
  const std::string_view name = call.name.empty() ? api::name_of(object) : std::string_view(call.name);
  if (!name.empty()) done = refuse_when_durable(state_, store_key(*call.kind, call.ns, name), std::move(done));
  auto refuse = [&](Error e) { answer_later(*state_, std::move(done), std::move(e)); };
  const KindStrategy& strategy = strategy_of(*call.kind);
  std::vector<std::string> warnings;
  const SubresourceStrategy* subresource = strategy.subresource(call.subresource);
  if (subresource != nullptr && subresource->create != nullptr) {
    Result<Value> body = decode_subresource(state_->schema, call, std::move(object), warnings, json_text);
    if (!body.ok()) return refuse(body.error());
    return subresource->create(state_, call, std::move(*body), with_warnings(std::move(warnings), std::move(done)));
  }
  if (!call.subresource.empty())
    return refuse(error(Code::kMethodNotAllowed, "the server does not allow this method on the requested resource"));
  if (strategy.create != nullptr) return strategy.create(state_, call, std::move(object), json_text, std::move(done));
  bool has_empty = false;
  Result<Value> decoded = decode_with_empty(call, std::move(object), warnings, has_empty, json_text);
  if (!decoded.ok()) return refuse(decoded.error());
  create_object(state_, call, std::move(*decoded), std::move(warnings), true, std::move(done), has_empty);
}

void Registry::update(const Call& call, Value object, Done done, std::string_view json_text) {
  const std::string key = store_key(*call.kind, call.ns, call.name);
  done = refuse_when_durable(state_, key, std::move(done));
  auto refuse = [&](Error e) { answer_later(*state_, std::move(done), std::move(e)); };
  const KindStrategy& strategy = strategy_of(*call.kind);
  std::vector<std::string> warnings;
  const SubresourceStrategy* subresource = strategy.subresource(call.subresource);
  if (subresource != nullptr && subresource->update != nullptr) {
    Result<Value> body = decode_subresource(state_->schema, call, std::move(object), warnings, json_text);
    if (!body.ok()) return refuse(body.error());
    return subresource->update(state_, call, std::move(*body), with_warnings(std::move(warnings), std::move(done)));
  }
  bool has_empty = false;
  Result<Value> decoded = decode_with_empty(call, std::move(object), warnings, has_empty, json_text);
  if (!decoded.ok()) return refuse(decoded.error());
  store::RecordPtr head = state_->store.head(key);
  if (!head) {
    bool may_create = strategy.creates_on_update && call.subresource.empty() &&
                      api::resource_version_of(*decoded).empty() && api::uid_of(*decoded).empty();
    if (!may_create) return refuse(api::not_found(call.kind->resource(), call.name));
    return create_object(state_, call, std::move(*decoded), std::move(warnings), true, std::move(done), has_empty);
  }
  update_object(state_, call, head, std::move(*decoded), std::move(warnings), true, std::move(done), has_empty);
}

}  // namespace berth::apiserver::registry
