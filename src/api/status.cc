#include "api/status.h"

#include <iterator>
#include <utility>

#include "api/plain_error.h"
#include "base/text.h"

namespace berth::api {

namespace {

struct Row {
  Code code;
  int http;
  std::string_view reason;
};

// Of several codes with one reason the first is what a reason is read back as.
constexpr Row kRows[] = {
    {Code::kInvalid, 422, "Invalid"},
    {Code::kBadRequest, 400, "BadRequest"},
    {Code::kUnauthorized, 401, "Unauthorized"},
    {Code::kForbidden, 403, "Forbidden"},
    {Code::kNotFound, 404, "NotFound"},
    {Code::kMethodNotAllowed, 405, "MethodNotAllowed"},
    {Code::kNotAcceptable, 406, "NotAcceptable"},
    {Code::kAlreadyExists, 409, "AlreadyExists"},
    {Code::kConflict, 409, "Conflict"},
    {Code::kExpired, 410, "Expired"},
    {Code::kTooLarge, 413, "RequestEntityTooLarge"},
    {Code::kUnsupportedMedia, 415, "UnsupportedMediaType"},
    {Code::kTooManyRequests, 429, "TooManyRequests"},
    {Code::kUnavailable, 503, "ServiceUnavailable"},
    {Code::kUnknown, 504, "Timeout"},
    {Code::kTimeout, 504, "Timeout"},
    {Code::kUnimplemented, 501, "NotImplemented"},
    {Code::kInternal, 500, "InternalError"},
};

constexpr std::string_view kRevisionTooLarge = "ResourceVersionTooLarge";

const Row& row_of(Code code) {
  for (const Row& row : kRows) {
    if (row.code == code) return row;
  }
  return *(std::end(kRows) - 1);
}

Value details_value(const ErrorDetails& details) {
  Value out = Value::object();
  if (!details.name.empty()) out.set("name", details.name);
  if (!details.group.empty()) out.set("group", details.group);
  if (!details.kind.empty()) out.set("kind", details.kind);
  if (!details.uid.empty()) out.set("uid", details.uid);
  if (details.retry_after_seconds > 0) out.set("retryAfterSeconds", details.retry_after_seconds);
  if (!details.causes.empty()) {
    Value causes = Value::array();
    for (const Cause& cause : details.causes) {
      Value item = Value::object();
      if (!cause.reason.empty()) item.set("reason", cause.reason);
      if (!cause.message.empty()) item.set("message", cause.message);
      if (!cause.field.empty()) item.set("field", cause.field);
      causes.push(std::move(item));
    }
    out.set("causes", std::move(causes));
  }
  return out;
}

Error with_resource(Code code, std::string message, const Resource& resource, std::string_view name) {
  ErrorDetails details;
  details.group = resource.group;
  details.kind = resource.resource;
  details.name = name;
  return Error{code, std::move(message), std::make_shared<const ErrorDetails>(std::move(details))};
}

std::string named(const Resource& resource, std::string_view name) {
  return resource.group_resource() + " " + quoted(name);
}

std::string with_detail(std::string text, std::string_view detail) {
  if (!detail.empty()) text.append(": ").append(detail);
  return text;
}

std::string shown(const Value& value) { return value.is_string() ? quoted(value.as_string()) : json::encode(value); }

}  // namespace

Error plain_error(std::string message) {
  // Told by the identity of its details.
  static const std::shared_ptr<const ErrorDetails> kPlain = std::make_shared<const ErrorDetails>();
  return Error{Code::kInternal, std::move(message), kPlain};
}

Error internal_error(const std::string& text) {
  auto details = std::make_shared<ErrorDetails>();
  details->causes.push_back(Cause{"", text, ""});
  return Error{Code::kInternal, "Internal error occurred: " + text, std::move(details)};
}

bool is_plain_error(const Error& error) { return error.details != nullptr && error.details == plain_error("").details; }

int http_code(Code code) { return row_of(code).http; }
std::string_view status_reason(Code code) { return row_of(code).reason; }

Value to_status(const Error& error) {
  Value status = Value::object({{"kind", "Status"},
                                {"apiVersion", "v1"},
                                {"metadata", Value::object()},
                                {"status", "Failure"},
                                {"message", error.message},
                                {"code", http_code(error.code)}});
  if (is_plain_error(error)) return status;
  status.set("reason", status_reason(error.code));
  if (error.details) status.set("details", details_value(*error.details));
  return status;
}

Error from_status(int http, const Value& body) {
  Error out;
  const bool is_status = body["kind"].as_string() == "Status";
  const std::string_view reason = is_status ? body["reason"].as_string() : std::string_view();
  bool found = false;
  for (const Row& row : kRows) {
    if (!reason.empty() && row.reason == reason) {
      out.code = row.code;
      found = true;
      break;
    }
  }
  if (!found && reason == "Gone") {
    out.code = Code::kExpired;
    found = true;
  }
  if (!found) {
    // 409 without a reason is a conflict, not a name that is taken.
    if (http == 409) {
      out.code = Code::kConflict;
      found = true;
    }
    for (const Row& row : kRows) {
      if (found) break;
      if (row.http == http) {
        out.code = row.code;
        found = true;
      }
    }
  }
  out.message = is_status ? body["message"].str() : "the server answered with HTTP code " + std::to_string(http);
  const Value& source = body["details"];
  if (is_status && source.is_object()) {
    ErrorDetails details;
    details.group = source["group"].str();
    details.kind = source["kind"].str();
    details.name = source["name"].str();
    details.uid = source["uid"].str();
    details.retry_after_seconds = static_cast<int>(source["retryAfterSeconds"].as_int());
    for (const Value& cause : source["causes"]) {
      details.causes.push_back({cause["reason"].str(), cause["message"].str(), cause["field"].str()});
      // A read of a revision that is not there yet has certainly written nothing.
      if (cause["reason"].as_string() == kRevisionTooLarge) out.code = Code::kTimeout;
    }
    out.details = std::make_shared<const ErrorDetails>(std::move(details));
  }
  return out;
}

Error not_found(const Resource& resource, std::string_view name) {
  return with_resource(Code::kNotFound, named(resource, name) + " not found", resource, name);
}

Error already_exists(const Resource& resource, std::string_view name) {
  return with_resource(Code::kAlreadyExists, named(resource, name) + " already exists", resource, name);
}

Error conflict(const Resource& resource, std::string_view name, std::string_view why) {
  return with_resource(Code::kConflict,
                       "Operation cannot be fulfilled on " + named(resource, name) + ": " + std::string(why), resource,
                       name);
}

Error invalid(std::string_view group, std::string_view kind, std::string_view name, std::vector<Cause> causes) {
  std::string message(kind);
  if (!group.empty()) message.append(".").append(group);
  message += " " + quoted(name) + " is invalid";
  std::vector<std::string> texts;
  for (const Cause& cause : causes) {
    std::string text = cause.field.empty() ? cause.message : cause.field + ": " + cause.message;
    bool seen = false;
    for (const std::string& other : texts) seen |= other == text;
    if (!seen) texts.push_back(std::move(text));
  }
  if (texts.size() == 1) {
    message += ": " + texts[0];
  } else if (!texts.empty()) {
    message += ": [" + join(texts, ", ") + "]";
  }
  ErrorDetails details;
  details.group = group;
  details.kind = kind;
  details.name = name;
  details.causes = std::move(causes);
  return Error{Code::kInvalid, std::move(message), std::make_shared<const ErrorDetails>(std::move(details))};
}

Error forbidden(const Resource& resource, std::string_view name, std::string_view why) {
  std::string message = name.empty() ? resource.group_resource() : named(resource, name);
  message.append(" is forbidden: ").append(why);
  return with_resource(Code::kForbidden, std::move(message), resource, name);
}

Cause required(std::string field, std::string_view detail) {
  return {"FieldValueRequired", with_detail("Required value", detail), std::move(field)};
}

Cause invalid_value(std::string field, const Value& value, std::string_view detail) {
  return {"FieldValueInvalid", with_detail("Invalid value: " + shown(value), detail), std::move(field)};
}

Cause not_supported(std::string field, const Value& value, const std::vector<std::string>& supported) {
  std::string detail;
  if (!supported.empty()) {
    std::vector<std::string> quoted_values;
    for (const std::string& one : supported) quoted_values.push_back(quoted(one));
    detail = "supported values: " + join(quoted_values, ", ");
  }
  return {"FieldValueNotSupported", with_detail("Unsupported value: " + shown(value), detail), std::move(field)};
}

Cause duplicate(std::string field, const Value& value) {
  return {"FieldValueDuplicate", "Duplicate value: " + shown(value), std::move(field)};
}

Cause forbidden_field(std::string field, std::string_view detail) {
  return {"FieldValueForbidden", with_detail("Forbidden", detail), std::move(field)};
}

Cause not_found_field(std::string field, const Value& value) {
  return {"FieldValueNotFound", "Not found: " + shown(value), std::move(field)};
}

Cause too_long(std::string field, const Value&, int limit) {
  return {"FieldValueTooLong", "Too long: may not be more than " + std::to_string(limit) + " bytes", std::move(field)};
}

Cause too_many(std::string field, int found, int limit) {
  return {"FieldValueTooMany",
          "Too many: " + std::to_string(found) + ": must have at most " + std::to_string(limit) +
              (limit == 1 ? " item" : " items"),
          std::move(field)};
}

}  // namespace berth::api
