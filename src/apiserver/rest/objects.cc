#include "api/status.h"
#include "apiserver/rest/context.h"
#include "apiserver/rest/decoder_text.h"
#include "apiserver/rest/options.h"
#include "base/text.h"
#include "base/yaml/yaml.h"

namespace berth::apiserver::rest {
namespace {

// The callback for the registry: answers the request.
registry::Done answering(const ContextPtr& context) {
  return [context](Result<registry::Answer> answer) {
    if (!answer.ok()) return answer_error(context, answer.error());
    answer_object(context, *answer);
  };
}

void handle_write(const ContextPtr& context, bool create) {
  Result<Value> body = decode_body(*context, &context->call.duplicates);
  if (!body.ok()) return answer_error(context, body.error());
  const std::string_view json_text = json_body(*context);
  if (create) {
    context->registry->create(context->call, std::move(*body), answering(context), json_text);
  } else {
    context->registry->update(context->call, std::move(*body), answering(context), json_text);
  }
}

Error wrong_patch(const Value& patch, const char* expected) {
  return error(Code::kBadRequest, "error decoding patch: json: cannot unmarshal " + std::string(go_type_of(patch)) +
                                      " into Go value of type " + expected);
}

void handle_patch(const ContextPtr& context) {
  // Without parameters, and with the case of its letters, as upstream compares it.
  const std::string_view type = cut(http::header(context->request().headers, "content-type"), ";").before;
  api::PatchType patch_type;
  if (type == "application/json-patch+json") {
    patch_type = api::PatchType::kJson;
  } else if (type == "application/merge-patch+json") {
    patch_type = api::PatchType::kMerge;
  } else if (type == "application/strategic-merge-patch+json") {
    patch_type = api::PatchType::kStrategic;
  } else if (type == "application/apply-patch+yaml") {
    patch_type = api::PatchType::kApply;
  } else {
    return answer_error(context, router_refusal(Code::kUnsupportedMedia, "415: Unsupported Media Type"));
  }
  const std::string& text = context->request().body;
  json::ParseOptions options;
  options.duplicates = &context->call.duplicates;
  std::vector<std::string> repeated;  // fields that the applied YAML has twice
  Result<Value> patch =
      patch_type == api::PatchType::kApply ? yaml::parse(text, nullptr, &repeated) : json::parse(text, options);
  if (!patch.ok()) {
    return answer_error(
        context, error(Code::kBadRequest,
                       patch_type == api::PatchType::kApply
                           ? "error decoding YAML: error converting YAML to JSON: " + yaml_error_text(patch.error())
                           : "error decoding patch: " + go_error_text(text, patch.error())));
  }
  if (patch_type == api::PatchType::kJson && !patch->is_array())
    return answer_error(context, wrong_patch(*patch, "[]handlers.jsonPatchOp"));
  bool merges = patch_type == api::PatchType::kMerge || patch_type == api::PatchType::kStrategic;
  if (merges && !patch->is_object()) return answer_error(context, wrong_patch(*patch, "map[string]interface {}"));
  using FieldValidation = registry::Call::FieldValidation;
  if (!repeated.empty() && context->call.field_validation == FieldValidation::kStrict) {
    const std::string why = "error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n  " +
                            join(repeated, "\n  ");
    return answer_error(context, error(Code::kBadRequest, why));
  }
  if (context->call.field_validation == FieldValidation::kIgnore) repeated.clear();
  auto done = [context, repeated](Result<registry::Answer> answer) {
    if (!answer.ok()) return answer_error(context, answer.error());
    answer->warnings.insert(answer->warnings.begin(), repeated.begin(), repeated.end());
    answer_object(context, *answer);
  };
  context->registry->patch(context->call, patch_type, std::move(*patch), context->flag("force"), std::move(done));
}

void handle_remove(const ContextPtr& context, bool collection) {
  Result<api::DeleteOptions> options = read_delete_options(*context);
  if (!options.ok()) return answer_error(context, options.error());
  if (!collection) return context->registry->remove(context->call, *options, answering(context));
  Result<registry::ListCall> which = read_list_options(*context);
  if (!which.ok()) return answer_error(context, which.error());
  context->registry->remove_collection(context->call, *which, *options, answering(context));
}

}  // namespace

void handle_object(const ContextPtr& context, const std::string& verb) {
  if (verb == "get") return context->registry->get(context->call, answering(context));
  if (verb == "list") {
    Result<registry::ListCall> call = read_list_options(*context);
    if (!call.ok()) return answer_error(context, call.error());
    Result<registry::ListAnswer> list = context->registry->list(context->call, *call);
    if (list.failed_with(Code::kExpired) && !call->continue_token.empty()) {
      Value status = api::to_status(list.error());
      status.mut("metadata").set("continue", registry::continue_from_now(call->continue_token));
      return answer_value(context, api::http_code(Code::kExpired), status);
    }
    if (!list.ok()) return answer_error(context, list.error());
    return answer_list(context, *list);
  }
  if (verb == "watch") return handle_watch(context);
  if (verb == "create") return handle_write(context, true);
  if (verb == "update") return handle_write(context, false);
  if (verb == "patch") return handle_patch(context);
  if (verb == "delete") return handle_remove(context, false);
  if (verb == "deletecollection") return handle_remove(context, true);
  answer_error(context, method_not_allowed());
}

}  // namespace berth::apiserver::rest
