#include "apiserver/registry/patch.h"

#include "api/patch/go_text.h"
#include "api/patch/patch.h"
#include "api/status.h"
#include "apiserver/registry/commit.h"
#include "apiserver/registry/conversion.h"
#include "apiserver/registry/decode.h"
#include "apiserver/registry/state.h"
#include "apiserver/registry/write.h"
#include "base/text.h"

namespace berth::apiserver::registry {
namespace {

// The error of Go's JSON decoder in the words of its conversion to a typed object: the expected type, and for objects
// and lists the type that was sent.
std::string as_structured(const std::string& why) {
  std::size_t of = why.rfind(" of type ");
  if (!why.starts_with("json: cannot unmarshal ") || of == why.npos) return why;
  std::string sent(cut(why.substr(23), " ").before), expected = why.substr(of + 9);
  for (const char* scalar : {"string", "bool", "int32", "int64", "float64"}) {
    if (expected == scalar) return "unrecognized type: " + expected;
  }
  std::string shape = expected.starts_with("[]") ? "slice" : expected.starts_with("map[") ? "map" : "struct";
  if (sent == "array") sent = "slice";
  if (sent == "object") sent = "map";
  if (sent == "number") sent = "int64";
  return "cannot restore " + shape + " from: " + sent;
}

// Decodes the patched object, with the checks of an object that a client sends.
Result<Value> decode_patched(const Call& call, api::PatchType type, const Value& patch, const Value& patched,
                             std::vector<std::string>& warnings, bool& has_empty) {
  Result<Value> decoded = decode_with_empty(call, patched, warnings, has_empty);
  if (!decoded.ok()) return patch_decode_error(type, patch, patched, decoded.error());
  return decoded;
}

// In a patch metadata.uid is no precondition, as it is in a PUT: another uid would be a change of an immutable field.
Status check_same_uid(const Call& call, const Value& before, const Value& after) {
  if (api::uid_of(after).empty() || api::uid_of(after) == api::uid_of(before)) return ok_status();
  // Upstream validates metadata.uid twice, and lists both causes.
  const Cause cause = api::invalid_value("metadata.uid", api::uid_of(after), "field is immutable");
  return api::invalid(call.kind->group, call.kind->kind, call.name, {cause, cause});
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

}  // namespace

void apply_object(const StatePtr& state, const Call& call, const store::RecordPtr& head, const Value& patch, bool force,
                  Done done) {
  auto refuse = [&](Error e) { answer_later(*state, std::move(done), std::move(e)); };
  if (call.field_manager.empty()) {
    return refuse(api::invalid("meta.k8s.io", "PatchOptions", "",
                               {api::required("fieldManager", "is required for apply patch")}));
  }
  if (!head && !call.subresource.empty()) return refuse(api::not_found(call.kind->resource(), call.name));
  Result<Value> sent = check_applied(call, patch);
  if (!sent.ok()) return refuse(sent.error());
  Value live = head ? from_storage(*call.kind, head->value) : Value();
  Result<api::patch::Applied> applied =
      api::patch::apply(*call.kind, live, *sent, call.field_manager, force, call.subresource, state->runtime.now());
  if (!applied.ok()) return refuse(applied.error());
  if (!applied->conflicts.empty()) return refuse(api::patch::conflict_error(applied->conflicts));
  std::vector<std::string> warnings;
  applied->object.mut("metadata").set("name", call.name);
  Result<Value> merged = decode_object(call, std::move(applied->object), warnings);
  if (!merged.ok()) return refuse(merged.error());
  if (!head) return create_object(state, call, std::move(*merged), std::move(warnings), false, std::move(done));
  update_object(state, call, head, std::move(*merged), std::move(warnings), false, std::move(done));
}

Error patch_decode_error(api::PatchType type, const Value& patch, const Value& patched, const Error& problem) {
  if (problem.code != Code::kBadRequest) return problem;
  std::string why = problem.message;
  std::size_t at = why.find(" cannot be handled as a ");
  if (at == why.npos && why.find("does not match the expected API version") == why.npos) return problem;
  if (at != why.npos) why = why.substr(why.find(": ", at) + 2);
  if (type == api::PatchType::kStrategic) why = as_structured(why);
  std::string text = type == api::PatchType::kStrategic ? api::patch::go_text(patch) : json::encode(patched);
  return api::invalid("", "", "", {api::invalid_value("patch", text, why)});
}

void Registry::patch(const Call& call, api::PatchType type, Value patch, bool force, Done done) {
  const std::string key = store_key(*call.kind, call.ns, call.name);
  done = refuse_when_durable(state_, key, std::move(done));
  const SubresourceStrategy* subresource = strategy_of(*call.kind).subresource(call.subresource);
  if (subresource != nullptr && subresource->patch != nullptr)
    return subresource->patch(state_, call, type, patch, force, std::move(done));
  auto refuse = [&](Error e) { answer_later(*state_, std::move(done), std::move(e)); };
  store::RecordPtr head = state_->store.head(key);
  if (type == api::PatchType::kApply) return apply_object(state_, call, head, patch, force, std::move(done));
  if (!head) return refuse(api::not_found(call.kind->resource(), call.name));
  const Value before = from_storage(*call.kind, head->value);
  Result<Value> patched = patched_object(call, type, before, patch);
  if (!patched.ok()) return refuse(patched.error());
  std::vector<std::string> warnings;
  bool has_empty = false;
  Result<Value> decoded = decode_patched(call, type, patch, *patched, warnings, has_empty);
  if (!decoded.ok()) return refuse(decoded.error());
  if (Status same = check_same_uid(call, before, *decoded); !same.ok()) return refuse(same.error());
  update_object(state_, call, head, std::move(*decoded), std::move(warnings), true, std::move(done), has_empty);
}

}  // namespace berth::apiserver::registry
