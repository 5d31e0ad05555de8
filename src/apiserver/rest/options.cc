#include "apiserver/rest/options.h"

#include "api/status.h"
#include "apiserver/protobuf/protobuf.h"
#include "apiserver/rest/decoder_text.h"
#include "base/text.h"
#include "base/yaml/yaml.h"
#include "http/query_flag.h"

namespace berth::apiserver::rest {
namespace {

constexpr std::string_view kMetaGroup = "meta.k8s.io";
constexpr std::size_t kMaxFieldManager = 128;

Error invalid_options(std::string_view kind, std::vector<Cause> causes) {
  return api::invalid(kMetaGroup, kind, "", std::move(causes));
}

// "CreateOptions": the kind that holds the options of a verb.
const char* options_kind(std::string_view verb) {
  if (verb == "update") return "UpdateOptions";
  if (verb == "patch") return "PatchOptions";
  if (verb == "delete" || verb == "deletecollection") return "DeleteOptions";
  return "CreateOptions";
}

Result<std::optional<long>> integer_parameter(const Context& context, std::string_view name) {
  std::string_view text = context.parameter(name);
  if (text.empty()) return std::optional<long>();
  Result<long> number = parse_int(text);
  if (!number.ok()) return error(Code::kBadRequest, "strconv.ParseInt: parsing " + quoted(text) + ": invalid syntax");
  return std::optional<long>(*number);
}

// The first rune of `text` that cannot be printed, worded as upstream; empty: all can.
std::string unprintable(std::string_view text) {
  std::size_t position = 0;
  for (unsigned char c : text) {
    if ((c & 0xC0) == 0x80) continue;  // the rest of a rune
    if (c < 0x20 || c == 0x7F) {
      constexpr std::string_view kHex = "0123456789ABCDEF";
      return std::string("invalid character U+00") + kHex[c >> 4] + kHex[c & 15] + " (at position " +
             std::to_string(position) + ")";
    }
    ++position;
  }
  return "";
}

void check_field_manager(std::string_view manager, std::vector<Cause>& causes) {
  if (manager.size() > kMaxFieldManager) causes.push_back(api::too_long("fieldManager", manager, kMaxFieldManager));
  if (std::string problem = unprintable(manager); !problem.empty())
    causes.push_back(api::invalid_value("fieldManager", manager, problem));
}

Cause dry_run_cause(const Value& given) { return api::not_supported("dryRun", given, {"All"}); }

bool is_known_match(std::string_view match) { return match.empty() || match == "Exact" || match == "NotOlderThan"; }

// resourceVersionMatch of a list. Source: ValidateListOptions.
std::vector<Cause> check_list(const registry::ListCall& call, bool send_initial_events_given) {
  std::vector<Cause> causes;
  const std::string& match = call.resource_version_match;
  constexpr const char* kField = "resourceVersionMatch";
  if (!match.empty()) {
    if (call.resource_version.empty()) {
      causes.push_back(
          api::forbidden_field(kField, "resourceVersionMatch is forbidden unless resourceVersion is provided"));
    }
    if (!call.continue_token.empty()) {
      causes.push_back(api::forbidden_field(kField, "resourceVersionMatch is forbidden when continue is provided"));
    }
    if (!is_known_match(match)) causes.push_back(api::not_supported(kField, match, {"Exact", "NotOlderThan", ""}));
    if (match == "Exact" && call.resource_version == "0") {
      causes.push_back(
          api::forbidden_field(kField, "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\""));
    }
  }
  if (send_initial_events_given)
    causes.push_back(api::forbidden_field("sendInitialEvents", "sendInitialEvents is forbidden for list"));
  return causes;
}

// resourceVersionMatch of a watch. Source: validateWatchOptions.
std::vector<Cause> check_watch(const Context& context, bool send_initial_events_given) {
  std::vector<Cause> causes;
  std::string_view match = context.parameter("resourceVersionMatch");
  constexpr const char* kField = "resourceVersionMatch";
  if (send_initial_events_given && match != "NotOlderThan") {
    causes.push_back(
        api::forbidden_field(kField, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"));
  }
  if (!match.empty()) {
    if (!send_initial_events_given) {
      causes.push_back(api::forbidden_field(
          kField, "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"));
    }
    if (!is_known_match(match)) causes.push_back(api::not_supported(kField, match, {"NotOlderThan"}));
    if (!context.parameter("continue").empty()) {
      causes.push_back(api::forbidden_field(kField, "resourceVersionMatch is forbidden when continue is provided"));
    }
  }
  return causes;
}

// An object, or null.
Result<Value> parse_delete_options(const Context& context) {
  constexpr const char* kNoTypeMeta = "couldn't get version/kind; json parse error: ";
  const http::Request& request = context.request();
  const std::string type = media_type(http::header(request.headers, "content-type"));
  if (type == protobuf::kMediaType) return protobuf::decode(context.registry->schema(), request.body);
  const bool yaml = type == "application/yaml";
  Result<Value> parsed = yaml ? yaml::parse(request.body) : json::parse(request.body);
  if (!parsed.ok()) {
    return error(Code::kBadRequest,
                 yaml ? yaml_error_text(parsed.error()) : kNoTypeMeta + go_error_text(request.body, parsed.error()));
  }
  if (!parsed->is_object() && !parsed->is_null())
    return error(Code::kBadRequest, kNoTypeMeta + wrong_type_meta_text(*parsed));
  return parsed;
}

// The body, decoded. Any group's and version's "DeleteOptions" is accepted; unknown fields are left out.
Result<Value> decode_delete_options(const Context& context) {
  if (context.request().body.empty()) return Value::object();
  BERTH_ASSIGN(Value body, parse_delete_options(context));
  if (body.is_null()) return Value::object();
  std::string kind = body["kind"].str(), version = body["apiVersion"].str();
  if (!kind.empty() && kind != "DeleteOptions") {
    return error(Code::kBadRequest, "no kind " + quoted(kind) + " is registered for version " +
                                        quoted(version.empty() ? "v1" : version) +
                                        " in scheme \"pkg/apis/meta/internalversion/scheme/register.go:27\"");
  }
  const api::schema::Kind* options = context.registry->schema().find_kind("v1", "DeleteOptions");
  body.set("kind", "DeleteOptions").set("apiVersion", "v1");
  return options == nullptr ? Result<Value>(std::move(body)) : api::schema::decode(*options, body, nullptr);
}

Status check_delete_options(const Value& body) {
  std::vector<Cause> causes;
  const Value &propagation = body["propagationPolicy"], &orphan = body["orphanDependents"];
  if (propagation.is_string() && orphan.is_bool()) {
    causes.push_back(api::invalid_value("propagationPolicy", propagation,
                                        "orphanDependents and deletionPropagation cannot be both set"));
  }
  std::string_view policy = propagation.as_string();
  if (propagation.is_string() && policy != "Orphan" && policy != "Background" && policy != "Foreground") {
    causes.push_back(
        api::not_supported("propagationPolicy", propagation, {"Foreground", "Background", "Orphan", "nil"}));
  }
  const Value& modes = body["dryRun"];
  bool all = true;
  for (const Value& mode : modes) all = all && mode.as_string() == "All";
  if (!all) causes.push_back(dry_run_cause(modes));
  return causes.empty() ? ok_status() : Status(invalid_options("DeleteOptions", std::move(causes)));
}

// The query's options count only where there is no body, as upstream reads either the one or the other.
Status add_query_options(const Context& context, Value& body) {
  if (!context.request().body.empty()) return ok_status();
  BERTH_ASSIGN(std::optional<long> grace, integer_parameter(context, "gracePeriodSeconds"));
  if (grace) body.set("gracePeriodSeconds", *grace);
  const http::Request& request = context.request();
  if (request.has_parameter("orphanDependents"))
    body.set("orphanDependents", http::is_true(context.parameter("orphanDependents"), true));
  if (request.has_parameter("propagationPolicy")) body.set("propagationPolicy", context.parameter("propagationPolicy"));
  return ok_status();
}

}  // namespace

Status read_write_options(Context& context, std::string_view verb) {
  registry::Call& call = context.call;
  const http::Request& request = context.request();
  const char* kind = options_kind(verb);
  std::vector<Cause> causes;
  if (request.has_parameter("dryRun")) {
    std::string_view mode = context.parameter("dryRun");
    call.dry_run = mode == "All";
    if (!call.dry_run) causes.push_back(dry_run_cause(Value::array({mode})));
  }
  if (std::string_view manager = context.parameter("fieldManager"); !manager.empty()) {
    check_field_manager(manager, causes);
    call.field_manager = manager;
  }
  std::string type = media_type(http::header(request.headers, "content-type"));
  if (verb == "patch" && type != "application/apply-patch+yaml" && request.has_parameter("force")) {
    causes.push_back(api::forbidden_field("force", "may not be specified for non-apply patch"));
  }
  std::string_view validation = context.parameter("fieldValidation");
  using FieldValidation = registry::Call::FieldValidation;
  if (validation == "Ignore") {
    call.field_validation = FieldValidation::kIgnore;
  } else if (validation == "Strict") {
    call.field_validation = FieldValidation::kStrict;
  } else if (!validation.empty() && validation != "Warn") {
    causes.push_back(api::not_supported("fieldValidation", validation, {"", "Ignore", "Strict", "Warn"}));
  }
  return causes.empty() ? ok_status() : Status(invalid_options(kind, std::move(causes)));
}

Result<registry::ListCall> read_list_options(const Context& context) {
  registry::ListCall call;
  call.label_selector = context.parameter("labelSelector");
  call.field_selector = context.parameter("fieldSelector");
  call.continue_token = context.parameter("continue");
  call.resource_version = context.parameter("resourceVersion");
  call.resource_version_match = context.parameter("resourceVersionMatch");
  BERTH_ASSIGN(std::optional<long> limit, integer_parameter(context, "limit"));
  if (limit && *limit > 0) call.limit = static_cast<std::size_t>(*limit);
  BERTH_TRY(integer_parameter(context, "timeoutSeconds"));
  std::vector<Cause> causes = check_list(call, context.request().has_parameter("sendInitialEvents"));
  if (!causes.empty()) return invalid_options("ListOptions", std::move(causes));
  return call;
}

Result<WatchOptions> read_watch_options(const Context& context) {
  WatchOptions options;
  const http::Request& request = context.request();
  registry::WatchCall& call = options.call;
  call.label_selector = context.parameter("labelSelector");
  call.field_selector = context.parameter("fieldSelector");
  call.resource_version = context.parameter("resourceVersion");
  call.bookmarks = context.flag("allowWatchBookmarks");
  bool given = request.has_parameter("sendInitialEvents");
  if (given) call.send_initial_events = context.flag("sendInitialEvents");
  BERTH_ASSIGN(options.timeout_seconds, integer_parameter(context, "timeoutSeconds"));
  BERTH_TRY(integer_parameter(context, "limit"));
  std::vector<Cause> causes = check_watch(context, given);
  if (!causes.empty()) return invalid_options("ListOptions", std::move(causes));
  return options;
}

Result<api::DeleteOptions> read_delete_options(Context& context) {
  BERTH_ASSIGN(Value body, decode_delete_options(context));
  BERTH_TRY(add_query_options(context, body));
  BERTH_TRY(check_delete_options(body));
  api::DeleteOptions options;
  if (!body["dryRun"].empty()) context.call.dry_run = true;
  if (body["gracePeriodSeconds"].is_int()) options.grace_seconds = body["gracePeriodSeconds"].as_int();
  options.propagation = body["propagationPolicy"].str();
  if (body["orphanDependents"].is_bool())
    options.propagation = body["orphanDependents"].as_bool() ? "Orphan" : "Background";
  options.uid = body["preconditions"]["uid"].str();
  options.resource_version = body["preconditions"]["resourceVersion"].str();
  return options;
}

}  // namespace berth::apiserver::rest
