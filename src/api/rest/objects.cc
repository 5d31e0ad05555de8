#include "api/rest/context.h"
#include "api/protobuf/protobuf.h"
#include "api/status.h"
#include "base/text.h"
#include "base/yaml/yaml.h"

namespace berth::rest {
namespace {

registry::Done answering(const ContextPtr& context) {
  return [context](Result<registry::Answer> answer) {
    if (!answer.ok()) return answer_error(context, answer.error());
    answer_object(context, *answer);
  };
}

void handle_write(const ContextPtr& context, bool create) {
  Result<Value> body = decode_body(*context, &context->call.duplicates);
  if (!body.ok()) return answer_error(context, body.error());
  if (create) {
    context->registry->create(context->call, std::move(*body), answering(context));
  } else {
    context->registry->update(context->call, std::move(*body), answering(context));
  }
}

void handle_patch(const ContextPtr& context) {
  std::string type = media_type(http::header(context->request().headers, "content-type"));
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
  Result<Value> patch =
      patch_type == api::PatchType::kApply ? yaml::parse(text, options.duplicates) : json::parse(text, options);
  if (!patch.ok()) {
    return answer_error(context, error(Code::kBadRequest, patch_type == api::PatchType::kApply
                                                              ? "error decoding YAML: " + patch.error().message
                                                              : "error decoding patch: " + patch.error().message));
  }
  context->registry->patch(context->call, patch_type, std::move(*patch), context->flag("force"), answering(context));
}

Result<api::DeleteOptions> delete_options(const Context& context) {
  api::DeleteOptions options;
  Value body;
  const http::Request& request = context.request();
  if (!request.body.empty()) {
    std::string type = media_type(http::header(request.headers, "content-type"));
    Result<Value> parsed = type == protobuf::kMediaType ? protobuf::decode(context.registry->schema(), request.body)
                           : type == "application/yaml" ? yaml::parse(request.body)
                                                        : json::parse(request.body);
    if (!parsed.ok()) return error(Code::kBadRequest, "error decoding DeleteOptions: " + parsed.error().message);
    body = std::move(*parsed);
  }
  if (body["gracePeriodSeconds"].is_int()) options.grace_seconds = body["gracePeriodSeconds"].as_int();
  options.propagation = body["propagationPolicy"].str();
  if (body["orphanDependents"].is_bool()) {
    options.propagation = body["orphanDependents"].as_bool() ? "Orphan" : "Background";
  }
  options.uid = body["preconditions"]["uid"].str();
  options.resource_version = body["preconditions"]["resourceVersion"].str();
  if (std::string_view text = context.parameter("gracePeriodSeconds"); !text.empty()) {
    Result<long> seconds = parse_int(text);
    if (!seconds.ok()) {
      return error(Code::kBadRequest, "strconv.ParseInt: parsing " + quoted(text) + ": invalid syntax");
    }
    options.grace_seconds = *seconds;
  }
  if (std::string_view text = context.parameter("propagationPolicy"); !text.empty()) options.propagation = text;
  if (!options.propagation.empty() && options.propagation != "Orphan" && options.propagation != "Background" &&
      options.propagation != "Foreground") {
    return api::invalid(
        "meta.k8s.io", "DeleteOptions", "",
        {api::not_supported("propagationPolicy", options.propagation, {"Orphan", "Background", "Foreground", "nil"})});
  }
  return options;
}

void handle_remove(const ContextPtr& context, bool collection) {
  Result<api::DeleteOptions> options = delete_options(*context);
  if (!options.ok()) return answer_error(context, options.error());
  if (!collection) return context->registry->remove(context->call, *options, answering(context));
  Error problem;
  registry::ListCall which = list_call(*context, &problem);
  if (!problem.message.empty()) return answer_error(context, problem);
  context->registry->remove_collection(context->call, which, *options, answering(context));
}

}  // namespace

registry::ListCall list_call(const Context& context, Error* problem) {
  registry::ListCall call;
  call.label_selector = context.parameter("labelSelector");
  call.field_selector = context.parameter("fieldSelector");
  call.continue_token = context.parameter("continue");
  call.resource_version = context.parameter("resourceVersion");
  call.resource_version_match = context.parameter("resourceVersionMatch");
  if (std::string_view text = context.parameter("limit"); !text.empty()) {
    Result<long> limit = parse_int(text);
    if (!limit.ok() || *limit < 0) {
      *problem = error(Code::kBadRequest, "strconv.ParseInt: parsing " + quoted(text) + ": invalid syntax");
    } else {
      call.limit = static_cast<std::size_t>(*limit);
    }
  }
  return call;
}

void handle_object(const ContextPtr& context, const std::string& verb) {
  if (verb == "get") return context->registry->get(context->call, answering(context));
  if (verb == "list") {
    Error problem;
    registry::ListCall call = list_call(*context, &problem);
    if (!problem.message.empty()) return answer_error(context, problem);
    Result<registry::ListAnswer> list = context->registry->list(context->call, call);
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

}  // namespace berth::rest
