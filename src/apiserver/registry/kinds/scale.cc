#include "apiserver/registry/kinds/scale.h"

#include "api/patch/patch.h"
#include "api/status.h"
#include "apiserver/registry/commit.h"
#include "apiserver/registry/decode.h"
#include "apiserver/registry/patch.h"
#include "apiserver/registry/state.h"
#include "apiserver/registry/write.h"

namespace berth::apiserver::registry {
namespace {

Value scale_of(const Value& object) {
  const Value& metadata = object["metadata"];
  Value own = Value::object({{"name", metadata["name"]},
                             {"namespace", metadata["namespace"]},
                             {"uid", metadata["uid"]},
                             {"resourceVersion", metadata["resourceVersion"]},
                             {"creationTimestamp", metadata["creationTimestamp"]}});
  Value spec = Value::object();
  if (object["spec"]["replicas"].as_int() != 0) spec.set("replicas", object["spec"]["replicas"]);
  const Value& wanted = object["spec"]["selector"];
  const bool map = api::kind_of(object) == "ReplicationController";  // of labels
  Result<api::LabelSelector> selector =
      map ? api::LabelSelector::of_map(wanted) : api::LabelSelector::of_object(wanted);
  Value status = Value::object({{"replicas", static_cast<long>(object["status"]["replicas"].as_int())}});
  if (selector.ok()) status.set("selector", selector->to_string());
  return Value::object(
      {{"kind", "Scale"}, {"apiVersion", "autoscaling/v1"}, {"metadata", own}, {"spec", spec}, {"status", status}});
}

// Answers with the Scale of the object that a write answers with.
Done answer_scale(Done done) {
  return [done = std::move(done)](Result<Answer> answer) {
    if (!answer.ok()) return done(answer.error());
    Answer scale;
    scale.http = answer->http;
    scale.object = scale_of(answer->value());
    done(std::move(scale));
  };
}

store::RecordPtr parent_of(const StatePtr& state, const Call& call) {
  return state->store.head(store_key(*call.kind, call.ns, call.name));
}

void write_scale(const StatePtr& state, const Call& call, const store::RecordPtr& head, const Value& scale, Done done) {
  const Value& replicas = scale["spec"]["replicas"];
  if (replicas.as_int() < 0) {
    return answer_later(
        *state, std::move(done),
        api::invalid("autoscaling", "Scale", call.name,
                     {api::invalid_value("spec.replicas", replicas, "must be greater than or equal to 0")}));
  }
  Value after = head->value;
  after.mut("spec").set("replicas", static_cast<long>(replicas.as_int()));
  std::string_view version = api::resource_version_of(scale);
  if (!version.empty()) after.mut("metadata").set("resourceVersion", version);
  if (std::string_view uid = api::uid_of(scale); !uid.empty()) after.mut("metadata").set("uid", uid);
  Call write = call;
  write.subresource = "scale";
  update_object(state, write, head, std::move(after), {}, true, answer_scale(std::move(done)));
}

void apply_scale(const StatePtr& state, const Call& call, const Value& scale, bool force, Done done) {
  Value applied = Value::object({{"apiVersion", call.kind->api_version()},
                                 {"kind", call.kind->kind},
                                 {"metadata", Value::object({{"name", call.name}})}});
  if (scale["spec"].contains("replicas")) applied.mut("spec").set("replicas", scale["spec"]["replicas"]);
  if (std::string_view version = api::resource_version_of(scale); !version.empty())
    applied.mut("metadata").set("resourceVersion", version);
  apply_object(state, call, parent_of(state, call), applied, force, answer_scale(std::move(done)));
}

}  // namespace

void get_scale(const StatePtr& state, const Call& call, Done done) {
  store::RecordPtr record = state->store.get(store_key(*call.kind, call.ns, call.name));
  if (!record) return done(api::not_found(call.kind->resource(), call.name));
  Answer answer;
  answer.object = scale_of(record->value);
  done(std::move(answer));
}

void update_scale(const StatePtr& state, const Call& call, Value scale, Done done) {
  store::RecordPtr head = parent_of(state, call);
  if (!head) return answer_later(*state, std::move(done), api::not_found(call.kind->resource(), call.name));
  if (api::name_of(scale).empty()) {
    return answer_later(*state, std::move(done),
                        error(Code::kBadRequest, "the name of the object (" + call.name +
                                                     " based on URL) was undeterminable: name must be provided"));
  }
  if (std::string_view name = api::name_of(scale); name != call.name) {
    return answer_later(*state, std::move(done),
                        error(Code::kBadRequest, "the name of the object (" + std::string(name) +
                                                     ") does not match the name on the URL (" + call.name + ")"));
  }
  write_scale(state, call, head, scale, std::move(done));
}

void patch_scale(const StatePtr& state, const Call& call, api::PatchType type, const Value& patch, bool force,
                 Done done) {
  if (type == api::PatchType::kApply) return apply_scale(state, call, patch, force, std::move(done));
  store::RecordPtr head = parent_of(state, call);
  if (!head) return answer_later(*state, std::move(done), api::not_found(call.kind->resource(), call.name));
  Value before = scale_of(head->value);
  Result<Value> after = type == api::PatchType::kJson ? api::patch::apply_json_patch(before, patch)
                                                      : Result<Value>(api::patch::apply_merge_patch(before, patch));
  if (!after.ok()) return answer_later(*state, std::move(done), after.error());
  std::vector<std::string> warnings;
  Result<Value> scale = decode_subresource(state->schema, call, *after, warnings);
  if (!scale.ok()) return answer_later(*state, std::move(done), patch_decode_error(type, patch, *after, scale.error()));
  write_scale(state, call, head, *scale, with_warnings(std::move(warnings), std::move(done)));
}

}  // namespace berth::apiserver::registry
