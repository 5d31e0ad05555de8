// Reviews: kinds that are answered and never stored (access, tokens, `kubectl auth whoami`).
#include "api/schema/kind_map.h"
#include "api/selector.h"
#include "api/status.h"
#include "apiserver/rest/context.h"
#include "apiserver/rest/identity.h"
#include "apiserver/validation/validation.h"
#include "base/check.h"
#include "base/text.h"
#include "base/time/time.h"

namespace berth::apiserver::rest {
namespace {

using registry::User;

Value strings(const std::vector<std::string>& list) {
  Value out = Value::array();
  for (const std::string& one : list) out.push(one);
  return out;
}

Value user_info(const User& user) {
  Value out = Value::object({{"username", user.name}});
  if (!user.uid.empty()) out.set("uid", user.uid);
  if (!user.groups.empty()) out.set("groups", strings(user.groups));
  for (const auto& [key, values] : user.extra) out.mut("extra").set(key, strings(values));
  return out;
}

bool can_match(const Value& requirement, bool fields) {
  const std::string_view op = requirement["operator"].as_string();
  const std::size_t values = requirement["values"].size();
  if (op == "In" || op == "NotIn") return fields ? values == 1 : values > 0;
  return !fields && (op == "Exists" || op == "DoesNotExist") && values == 0;
}

// The parts of the selectors that cannot be read; the review is answered without them.
std::string selector_problem(const Value& attributes) {
  std::vector<std::string> problems;
  for (const char* name : {"fieldSelector", "labelSelector"}) {
    const Value& selector = attributes[name];
    const bool fields = std::string_view(name) == "fieldSelector";
    const std::string_view raw = selector["rawSelector"].as_string();
    std::size_t good = 0;
    for (const Value& requirement : selector["requirements"]) good += can_match(requirement, fields) ? 1 : 0;
    const bool readable =
        raw.empty() || (fields ? api::FieldSelector::parse(raw).ok() : api::LabelSelector::parse(raw).ok());
    if (readable && good == selector["requirements"].size()) continue;
    problems.push_back(std::string("spec.resourceAttributes.") + name + (good > 0 ? " partially" : "") +
                       " ignored due to parse error");
  }
  return join(problems, ", ");
}

Value access_status(registry::Registry& registry, const User& user, const Value& spec) {
  Route route;
  std::string verb, fields;
  if (const Value& attributes = spec["resourceAttributes"]; attributes.is_object()) {
    route.is_resource = true;
    route.group = attributes["group"].str();
    route.resource = attributes["resource"].str();
    route.ns = attributes["namespace"].str();
    route.name = attributes["name"].str();
    route.subresource = attributes["subresource"].str();
    verb = attributes["verb"].str();
    fields = attributes["fieldSelector"]["rawSelector"].str();
  } else {
    route.rest = spec["nonResourceAttributes"]["path"].str();
    verb = spec["nonResourceAttributes"]["verb"].str();
  }
  const Decision decision = decide(registry, user, verb, route, fields);
  Value status = Value::object({{"allowed", decision.allowed}});
  if (!decision.reason.empty()) status.set("reason", decision.reason);
  if (const std::string problem = selector_problem(spec["resourceAttributes"]); !problem.empty())
    status.set("evaluationError", problem);
  return status;
}

void check_requirements(const std::string& path, const Value& requirements, bool fields, std::vector<Cause>& causes) {
  for (std::size_t i = 0; i < requirements.size(); ++i) {
    const std::string here = path + "[" + std::to_string(i) + "]";
    const std::string_view key = requirements[i]["key"].as_string();
    if (fields) {
      if (key.empty()) causes.push_back(api::required(here + ".key", "must be specified"));
      continue;
    }
    for (const std::string& text : validation::is_qualified_name(key))
      causes.push_back(api::invalid_value(here + ".key", key, text));
    const Value& values = requirements[i]["values"];
    for (std::size_t k = 0; k < values.size(); ++k) {
      for (const std::string& text : validation::is_label_value(values[k].as_string())) {
        causes.push_back(api::invalid_value(here + ".values[" + std::to_string(k) + "]", values[k], text));
      }
    }
  }
}

Value as_go(const Value& attributes) {
  return Value::object({{"Path", attributes["path"].str()}, {"Verb", attributes["verb"].str()}});
}

// What upstream refuses of an access review. `self`: about the caller; `local`: of one namespace.
Status check_access_review(const Value& spec, const std::string& ns, bool self, bool local) {
  std::vector<Cause> causes;
  const Value& resource = spec["resourceAttributes"];
  const Value& other = spec["nonResourceAttributes"];
  if (!resource.is_null() && !other.is_null()) {
    causes.push_back(api::invalid_value("spec.nonResourceAttributes", as_go(other),
                                        "cannot be specified in combination with resourceAttributes"));
  } else if (resource.is_null() && other.is_null()) {
    causes.push_back(
        api::invalid_value("spec.resourceAttributes", Value(),
                           "exactly one of nonResourceAttributes or resourceAttributes must be specified"));
  }
  if (!self && spec["user"].as_string().empty() && spec["groups"].empty()) {
    causes.push_back(api::invalid_value("spec.user", "", "at least one of user or group must be specified"));
  }
  for (const char* selector : {"fieldSelector", "labelSelector"}) {
    const Value& given = resource[selector];
    if (given.is_null()) continue;
    const std::string path = std::string("spec.resourceAttributes.") + selector;
    const Value& raw = given["rawSelector"];
    if (!raw.as_string().empty() && !given["requirements"].empty()) {
      causes.push_back(
          api::invalid_value(path + ".rawSelector", raw, "may not specified at the same time as requirements"));
    }
    check_requirements(path + ".requirements", given["requirements"], std::string_view(selector) == "fieldSelector",
                       causes);
    if (raw.as_string().empty() && given["requirements"].empty()) {
      causes.push_back(api::required(path + ".requirements",
                                     "when " + path + " is specified, requirements or rawSelector is required"));
    }
  }
  if (local && !other.is_null()) {
    causes.push_back(
        api::invalid_value("spec.nonResourceAttributes", as_go(other), "disallowed on this kind of request"));
  }
  if (local && resource.is_object() && resource["namespace"].as_string() != ns) {
    causes.push_back(api::invalid_value("spec.resourceAttributes.namespace", resource["namespace"].str(),
                                        "must match metadata.namespace"));
  }
  if (causes.empty()) return ok_status();
  return api::invalid("authorization.k8s.io", "", "", std::move(causes));
}

Value rule(std::initializer_list<Value> verbs, std::initializer_list<Value> groups,
           std::initializer_list<Value> resources) {
  return Value::object(
      {{"verbs", Value::array(verbs)}, {"apiGroups", Value::array(groups)}, {"resources", Value::array(resources)}});
}

Value paths_rule(const char* verb, std::initializer_list<Value> paths) {
  return Value::object({{"verbs", Value::array({Value(verb)})}, {"nonResourceURLs", Value::array(paths)}});
}

// What decide() allows users, in upstream's words.
Value rules_of(const User& user) {
  const bool all = user.in_group("system:masters");
  Value resources = Value::array(), paths = Value::array();
  if (all) resources.push(rule({"*"}, {"*"}, {"*"}));
  resources.push(rule({"create"}, {"authorization.k8s.io"}, {"selfsubjectaccessreviews", "selfsubjectrulesreviews"}));
  resources.push(rule({"create"}, {"authentication.k8s.io"}, {"selfsubjectreviews"}));
  const Value open = paths_rule("get", {"/healthz", "/livez", "/readyz", "/version", "/version/"});
  const Value discovery = paths_rule("get", {"/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi",
                                             "/openapi/*", "/readyz", "/version", "/version/"});
  if (all) {
    paths.push(open).push(paths_rule("*", {"*"})).push(discovery);
  } else {
    paths.push(discovery).push(open);
  }
  if (user.in_group("system:serviceaccounts")) {
    paths.push(paths_rule("get", {"/.well-known/openid-configuration", "/.well-known/openid-configuration/",
                                  "/openid/v1/jwks", "/openid/v1/jwks/"}));
  }
  return Value::object({{"resourceRules", resources}, {"nonResourceRules", paths}, {"incomplete", false}});
}

Value token_status(const RestConfig& config, const Value& spec) {
  std::vector<std::string> audiences;
  for (const Value& audience : spec["audiences"]) audiences.push_back(audience.str());
  if (audiences.empty()) audiences = config.audiences;
  Result<TokenHolder> holder = config.authenticate_token
                                   ? config.authenticate_token(spec["token"].as_string(), audiences)
                                   : Result<TokenHolder>(error(Code::kUnauthorized, ""));
  if (!holder.ok()) {
    constexpr const char* kInvalid = "invalid bearer token";
    const std::string& why = holder.error().message;
    return Value::object({{"user", Value::object()},
                          {"error", why.empty() ? kInvalid : "[" + std::string(kInvalid) + ", " + why + "]"}});
  }
  holder->user.groups.push_back("system:authenticated");
  return Value::object(
      {{"authenticated", true}, {"user", user_info(holder->user)}, {"audiences", strings(holder->audiences)}});
}

// --- One function a kind: the status of a review of this spec

Result<Value> self_access(const Context& context, const Value& spec) {
  BERTH_TRY(check_access_review(spec, "", true, false));
  return access_status(*context.registry, context.call.user, spec);
}

Result<Value> subject_access(const Context& context, const Value& spec, bool local) {
  BERTH_TRY(check_access_review(spec, context.call.ns, false, local));
  User user{spec["user"].str(), {}};
  for (const Value& group : spec["groups"]) user.groups.push_back(group.str());
  return access_status(*context.registry, user, spec);
}

Result<Value> cluster_access(const Context& context, const Value& spec) { return subject_access(context, spec, false); }
Result<Value> local_access(const Context& context, const Value& spec) { return subject_access(context, spec, true); }

Result<Value> self_rules(const Context& context, const Value& spec) {
  if (spec["namespace"].as_string().empty()) return error(Code::kBadRequest, "no namespace on request");
  return rules_of(context.call.user);
}

Result<Value> self_subject(const Context& context, const Value&) {
  return Value::object({{"userInfo", user_info(context.call.user)}});
}

Result<Value> token(const Context& context, const Value& spec) {
  if (spec["token"].as_string().empty())
    return error(Code::kBadRequest, "token is required for TokenReview in authentication");
  return token_status(*context.config, spec);
}

// --- What the answer has besides the status

void set_namespace(const Context& context, Value& review) { review.mut("metadata").set("namespace", context.call.ns); }
void set_time(const Context& context, Value& review) {
  review.mut("metadata").set("creationTimestamp", format_time(context.loop->now()));
}
void clear_spec(const Context&, Value& review) { review.set("spec", Value::object()); }

struct ReviewRow {
  std::string_view group, kind;
  Result<Value> (*status)(const Context& context, const Value& spec);
  void (*complete)(const Context& context, Value& review) = nullptr;
};
constexpr ReviewRow kReviews[] = {
    {"authentication.k8s.io", "SelfSubjectReview", self_subject, set_time},
    {"authentication.k8s.io", "TokenReview", token},
    {"authorization.k8s.io", "LocalSubjectAccessReview", local_access, set_namespace},
    {"authorization.k8s.io", "SelfSubjectAccessReview", self_access},
    {"authorization.k8s.io", "SelfSubjectRulesReview", self_rules, clear_spec},
    {"authorization.k8s.io", "SubjectAccessReview", cluster_access},
};

}  // namespace

void handle_review(const ContextPtr& context) {
  Result<Value> body = decode_body(*context, &context->call.duplicates);
  if (!body.ok()) return answer_error(context, body.error());
  registry::Answer answer;
  Result<Value> review = registry::decode_review(context->call, std::move(*body), answer.warnings);
  if (!review.ok()) return answer_error(context, review.error());
  const api::schema::Kind& kind = *context->call.kind;
  const ReviewRow* row = api::schema::row_of(kReviews, kind);
  BERTH_CHECK(row != nullptr, "a kind is handled as a review and has no row");
  Result<Value> status = row->status(*context, (*review)["spec"]);
  if (!status.ok()) return answer_error(context, status.error());
  review->set("kind", kind.kind).set("apiVersion", kind.api_version()).set("status", std::move(*status));
  if (row->complete != nullptr) row->complete(*context, *review);
  answer.http = 201;
  answer.object = std::move(*review);
  answer_object(context, answer);
}

}  // namespace berth::apiserver::rest
