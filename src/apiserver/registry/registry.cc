// The verbs that write: create, update, patch.
#include "apiserver/registry/registry.h"

#include "api/patch/go_text.h"
#include "api/patch/patch.h"
#include "api/status.h"
#include "apiserver/registry/state.h"
#include "base/text.h"

namespace berth::apiserver::registry {
namespace {

// Go's decoder's complaint as the conversion to a typed object words it: only the type that was wanted, and what was
// found instead of an object.
std::string as_structured(const std::string& why) {
  std::size_t of = why.rfind(" of type ");
  if (!why.starts_with("json: cannot unmarshal ") || of == why.npos) return why;
  std::string found(cut(why.substr(23), " ").before), wanted = why.substr(of + 9);
  for (const char* scalar : {"string", "bool", "int32", "int64", "float64"}) {
    if (wanted == scalar) return "unrecognized type: " + wanted;
  }
  std::string shape = wanted.starts_with("[]") ? "slice" : wanted.starts_with("map[") ? "map" : "struct";
  if (found == "array") found = "slice";
  if (found == "object") found = "map";
  if (found == "number") found = "int64";
  return "cannot restore " + shape + " from: " + found;
}

// Checks what a patch made of an object like what a client sends.
Result<Value> decode_patched(const Call& call, api::PatchType type, const Value& patch, const Value& patched,
                             std::vector<std::string>& warnings, bool& empty) {
  Result<Value> taken = take_in_new(call, patched, warnings, empty);
  if (!taken.ok()) return refused_patch(type, patch, patched, taken.error());
  return taken;
}

// Nothing but a PUT states the uid as a condition: a patch that names another one would change it.
Status check_same_uid(const Call& call, const Value& before, const Value& after) {
  if (api::uid_of(after).empty() || api::uid_of(after) == api::uid_of(before)) return ok_status();
  // Upstream validates metadata.uid twice, and lists both causes.
  const Cause cause = api::invalid_value("metadata.uid", api::uid_of(after), "field is immutable");
  return api::invalid(call.kind->group, call.kind->kind, call.name, {cause, cause});
}

// The answer with these warnings before its own.
Done warning(std::vector<std::string> warnings, Done done) {
  if (warnings.empty()) return done;
  return [warnings = std::move(warnings), done = std::move(done)](Result<Answer> answer) mutable {
    if (answer.ok()) answer->warnings.insert(answer->warnings.begin(), warnings.begin(), warnings.end());
    done(std::move(answer));
  };
}

Result<Value> patched_object(const Call& call, api::PatchType type, const Value& before, const Value& patch) {
  switch (type) {
    case api::PatchType::kJson: return api::patch::apply_json_patch(before, patch);
    case api::PatchType::kMerge: return api::patch::apply_merge_patch(before, patch);
    case api::PatchType::kStrategic: return api::patch::apply_strategic_patch(*call.kind->type, before, patch);
    case api::PatchType::kApply: break;
  }
  return error(Code::kInternal, "an apply is no plain patch");
}

void apply_patch(const std::shared_ptr<Registry::State>& state, const Call& call, const store::RecordPtr& head,
                 const Value& patch, bool force, Done done) {
  auto refuse = [&](Error e) { answer_later(*state, std::move(done), std::move(e)); };
  if (call.field_manager.empty()) {
    return refuse(api::invalid("meta.k8s.io", "PatchOptions", "",
                               {api::required("fieldManager", "is required for apply patch")}));
  }
  if (!head && !call.subresource.empty()) return refuse(api::not_found(call.kind->resource(), call.name));
  Result<Value> sent = take_in_applied(call, patch);
  if (!sent.ok()) return refuse(sent.error());
  Value live = head ? from_storage(*call.kind, head->value) : Value();
  Result<api::patch::Applied> applied =
      api::patch::apply(*call.kind, live, *sent, call.field_manager, force, call.subresource, state->runtime.now());
  if (!applied.ok()) return refuse(applied.error());
  if (!applied->conflicts.empty()) return refuse(api::patch::conflict_error(applied->conflicts));
  std::vector<std::string> warnings;
  applied->object.mut("metadata").set("name", call.name);
  Result<Value> merged = take_in(call, std::move(applied->object), warnings);
  if (!merged.ok()) return refuse(merged.error());
  if (!head) return create_object(state, call, std::move(*merged), std::move(warnings), false, std::move(done));
  write_update(state, call, head, std::move(*merged), std::move(warnings), false, std::move(done));
}

// An apply of a Scale is one of the number of replicas to the object itself: who owns that number there may have a
// conflict.
void apply_scale(const std::shared_ptr<Registry::State>& state, const Call& call, const Value& scale, bool force,
                 Done done) {
  Value applied = Value::object({{"apiVersion", call.kind->api_version()},
                                 {"kind", call.kind->kind},
                                 {"metadata", Value::object({{"name", call.name}})}});
  if (scale["spec"].contains("replicas")) applied.mut("spec").set("replicas", scale["spec"]["replicas"]);
  if (std::string_view version = api::resource_version_of(scale); !version.empty())
    applied.mut("metadata").set("resourceVersion", version);
  store::RecordPtr head = state->store.head(store_key(*call.kind, call.ns, call.name));
  apply_patch(state, call, head, applied, force, as_scale(std::move(done)));
}

}  // namespace

Error refused_patch(api::PatchType type, const Value& patch, const Value& patched, const Error& problem) {
  if (problem.code != Code::kBadRequest) return problem;
  std::string why = problem.message;
  std::size_t at = why.find(" cannot be handled as a ");
  if (at == why.npos && why.find("does not match the expected API version") == why.npos) return problem;
  if (at != why.npos) why = why.substr(why.find(": ", at) + 2);
  if (type == api::PatchType::kStrategic) why = as_structured(why);
  std::string text = type == api::PatchType::kStrategic ? api::patch::go_text(patch) : json::encode(patched);
  return api::invalid("", "", "", {api::invalid_value("patch", text, why)});
}

Registry::State::State(Runtime& r, store::Store& s, const api::schema::Schema& sc, Config c)
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

Registry::Registry(Runtime& runtime, store::Store& store, const api::schema::Schema& schema, Config config)
    : state_(std::make_shared<State>(runtime, store, schema, std::move(config))) {}

Registry::~Registry() {
  state_->lifetime.end();
  if (state_->event_timer != 0) state_->runtime.cancel(state_->event_timer);
}

const api::schema::Schema& Registry::schema() const { return state_->schema; }
store::Store& Registry::store() { return state_->store; }
Runtime& Registry::runtime() { return state_->runtime; }

Result<Value> Registry::take_in(const Call& call, Value object, std::vector<std::string>& warnings) {
  return registry::take_in(call, std::move(object), warnings);
}

void Registry::create(const Call& call, Value object, Done done, std::string_view json_text) {
  const std::string_view name = call.name.empty() ? api::name_of(object) : std::string_view(call.name);
  if (!name.empty()) done = settled(state_, store_key(*call.kind, call.ns, name), std::move(done));
  auto refuse = [&](Error e) { answer_later(*state_, std::move(done), std::move(e)); };
  if (call.subresource == "binding" || call.subresource == "eviction" || call.subresource == "token") {
    std::vector<std::string> warnings;
    Result<Value> body = take_in_body(*state_, call, std::move(object), warnings, json_text);
    if (!body.ok()) return refuse(body.error());
    done = warning(std::move(warnings), std::move(done));
    if (call.subresource == "binding") return bind_pod(state_, call, *body, std::move(done));
    if (call.subresource == "eviction") return evict_pod(state_, call, *body, std::move(done));
    return request_token(state_, call, std::move(*body), std::move(done));
  }
  if (!call.subresource.empty())
    return refuse(error(Code::kMethodNotAllowed, "the server does not allow this method on the requested resource"));
  if (call.kind->kind == "Binding" && call.kind->group.empty()) {
    Call pod = call;
    pod.kind = &state_->kind(api::resources::kPods);
    pod.name = api::name_of(object);
    pod.subresource = "binding";
    std::vector<std::string> warnings;
    Result<Value> body = take_in_body(*state_, pod, std::move(object), warnings, json_text);
    if (!body.ok()) return refuse(body.error());
    return bind_pod(state_, pod, *body, warning(std::move(warnings), std::move(done)));
  }
  std::vector<std::string> warnings;
  bool empty = false;
  Result<Value> taken = take_in_new(call, std::move(object), warnings, empty, json_text);
  if (!taken.ok()) return refuse(taken.error());
  create_object(state_, call, std::move(*taken), std::move(warnings), true, std::move(done), empty);
}

void Registry::update(const Call& call, Value object, Done done, std::string_view json_text) {
  const std::string key = store_key(*call.kind, call.ns, call.name);
  done = settled(state_, key, std::move(done));
  auto refuse = [&](Error e) { answer_later(*state_, std::move(done), std::move(e)); };
  if (call.subresource == "scale") {
    std::vector<std::string> warnings;
    Result<Value> scale = take_in_body(*state_, call, std::move(object), warnings, json_text);
    if (!scale.ok()) return refuse(scale.error());
    return update_scale(state_, call, *scale, warning(std::move(warnings), std::move(done)));
  }
  std::vector<std::string> warnings;
  bool empty = false;
  Result<Value> taken = take_in_new(call, std::move(object), warnings, empty, json_text);
  if (!taken.ok()) return refuse(taken.error());
  store::RecordPtr head = state_->store.head(key);
  if (!head) {
    bool may_create = creates_on_update(*call.kind) && call.subresource.empty() &&
                      api::resource_version_of(*taken).empty() && api::uid_of(*taken).empty();
    if (!may_create) return refuse(api::not_found(call.kind->resource(), call.name));
    return create_object(state_, call, std::move(*taken), std::move(warnings), true, std::move(done), empty);
  }
  write_update(state_, call, head, std::move(*taken), std::move(warnings), true, std::move(done), empty);
}

void Registry::patch(const Call& call, api::PatchType type, Value patch, bool force, Done done) {
  const std::string key = store_key(*call.kind, call.ns, call.name);
  done = settled(state_, key, std::move(done));
  if (call.subresource == "scale" && type == api::PatchType::kApply)
    return apply_scale(state_, call, patch, force, std::move(done));
  if (call.subresource == "scale") return patch_scale(state_, call, type, patch, std::move(done));
  auto refuse = [&](Error e) { answer_later(*state_, std::move(done), std::move(e)); };
  store::RecordPtr head = state_->store.head(key);
  if (type == api::PatchType::kApply) return apply_patch(state_, call, head, patch, force, std::move(done));
  if (!head) return refuse(api::not_found(call.kind->resource(), call.name));
  const Value before = from_storage(*call.kind, head->value);
  Result<Value> patched = patched_object(call, type, before, patch);
  if (!patched.ok()) return refuse(patched.error());
  std::vector<std::string> warnings;
  bool empty = false;
  Result<Value> taken = decode_patched(call, type, patch, *patched, warnings, empty);
  if (!taken.ok()) return refuse(taken.error());
  if (Status same = check_same_uid(call, before, *taken); !same.ok()) return refuse(same.error());
  write_update(state_, call, head, std::move(*taken), std::move(warnings), true, std::move(done), empty);
}

}  // namespace berth::apiserver::registry
