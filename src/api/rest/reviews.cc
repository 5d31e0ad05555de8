// Kinds that are asked and answered, never stored: access reviews, token reviews, who-am-I.
#include "api/rest/context.h"
#include "api/status.h"
#include "base/time/time.h"

namespace berth::rest {
namespace {

Value user_info(const registry::User& user) {
  Value groups = Value::array();
  for (const std::string& group : user.groups) groups.push(group);
  return Value::object({{"username", user.name}, {"groups", groups}});
}

Value access_status(const registry::User& user, const Value& spec) {
  Route route;
  std::string verb;
  if (const Value& attributes = spec["resourceAttributes"]; attributes.is_object()) {
    route.is_resource = true;
    route.group = attributes["group"].str();
    route.resource = attributes["resource"].str();
    route.ns = attributes["namespace"].str();
    route.name = attributes["name"].str();
    route.subresource = attributes["subresource"].str();
    verb = attributes["verb"].str();
  } else {
    route.rest = spec["nonResourceAttributes"]["path"].str();
    verb = spec["nonResourceAttributes"]["verb"].str();
  }
  return Value::object({{"allowed", allowed(user, verb, route, route.rest)}});
}

}  // namespace

void handle_review(const ContextPtr& context) {
  Result<Value> body = decode_body(*context, nullptr);
  if (!body.ok()) return answer_error(context, body.error());
  const schema::Kind& kind = *context->call.kind;
  Value review = std::move(*body);
  review.set("kind", kind.kind).set("apiVersion", kind.api_version());
  review.mut("metadata").set("creationTimestamp", nullptr);
  const Value spec = review["spec"];
  const registry::User& caller = context->call.user;
  if (kind.kind == "SelfSubjectAccessReview") {
    review.set("status", access_status(caller, spec));
  } else if (kind.kind == "SubjectAccessReview" || kind.kind == "LocalSubjectAccessReview") {
    registry::User user{spec["user"].str(), {}};
    for (const Value& group : spec["groups"]) user.groups.push_back(group.str());
    review.set("status", access_status(user, spec));
  } else if (kind.kind == "SelfSubjectRulesReview") {
    bool all = caller.in_group("system:masters");
    Value everything = Value::object(
        {{"verbs", Value::array({"*"})}, {"apiGroups", Value::array({"*"})}, {"resources", Value::array({"*"})}});
    Value paths = Value::object({{"verbs", Value::array({"*"})}, {"nonResourceURLs", Value::array({"*"})}});
    review.set("status", Value::object({{"resourceRules", all ? Value::array({everything}) : Value::array()},
                                        {"nonResourceRules", all ? Value::array({paths}) : Value::array()},
                                        {"incomplete", false}}));
  } else if (kind.kind == "SelfSubjectReview") {
    review.set("status", Value::object({{"userInfo", user_info(caller)}}));
  } else if (kind.kind == "TokenReview") {
    Result<registry::User> user =
        context->config->authenticate_token
            ? context->config->authenticate_token(spec["token"].as_string())
            : Result<registry::User>(error(Code::kUnauthorized, "no token issuer is configured"));
    if (user.ok()) {
      review.set("status", Value::object({{"authenticated", true}, {"user", user_info(*user)}}));
    } else {
      review.set("status", Value::object({{"authenticated", false}, {"error", user.error().message}}));
    }
  } else {
    return answer_error(context, error(Code::kUnimplemented, kind.kind + " is not answered by this server"));
  }
  answer_value(context, 201, review);
}

}  // namespace berth::rest
