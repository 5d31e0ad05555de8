#include "api/object.h"

namespace berth::api {

namespace {
const Value kNull;
}

GroupVersion GroupVersion::parse(std::string_view api_version) {
  const std::size_t slash = api_version.find('/');
  if (slash == std::string_view::npos) return {"", std::string(api_version)};
  return {std::string(api_version.substr(0, slash)), std::string(api_version.substr(slash + 1))};
}

const Value& controller_of(const Value& object) {
  for (const Value& reference : object["metadata"]["ownerReferences"]) {
    if (reference["controller"].as_bool()) return reference;
  }
  return kNull;
}

bool is_controlled_by(const Value& object, std::string_view owner_uid) {
  const Value& reference = controller_of(object);
  return !reference.is_null() && reference["uid"].as_string() == owner_uid;
}

Value controller_reference(const Value& owner, std::string_view api_version, std::string_view kind) {
  return Value::object({{"apiVersion", api_version},
                        {"kind", kind},
                        {"name", name_of(owner)},
                        {"uid", uid_of(owner)},
                        {"controller", true},
                        {"blockOwnerDeletion", true}});
}

const Value& condition_of(const Value& object, std::string_view type) {
  for (const Value& condition : object["status"]["conditions"]) {
    if (condition["type"].as_string() == type) return condition;
  }
  return kNull;
}

bool condition_is_true(const Value& object, std::string_view type) {
  return condition_of(object, type)["status"].as_string() == "True";
}

namespace {
// An absent text and an empty one are the same thing on the wire.
bool set_text(Value& condition, std::string_view key, std::string_view text) {
  if (condition[key].as_string() == text) return false;
  if (text.empty()) {
    condition.erase(key);
  } else {
    condition.set(key, text);
  }
  return true;
}
}  // namespace

bool set_condition(Value& conditions, std::string_view type, std::string_view status, std::string_view reason,
                   std::string_view message, Time now) {
  for (std::size_t i = 0; i < conditions.size(); ++i) {
    if (conditions[i]["type"].as_string() != type) continue;
    Value changed = conditions[i];
    bool any = false;
    if (changed["status"].as_string() != status) {
      changed.set("status", status);
      changed.set("lastTransitionTime", format_time(now));
      any = true;
    }
    any |= set_text(changed, "reason", reason);
    any |= set_text(changed, "message", message);
    if (any) conditions.mut(i) = std::move(changed);
    return any;
  }
  Value fresh = Value::object({{"type", type}, {"status", status}, {"lastTransitionTime", format_time(now)}});
  set_text(fresh, "reason", reason);
  set_text(fresh, "message", message);
  conditions.push(std::move(fresh));
  return true;
}

bool is_pod_ready(const Value& pod) { return condition_is_true(pod, "Ready"); }

bool is_pod_terminal(const Value& pod) {
  const std::string_view phase = pod["status"]["phase"].as_string();
  return phase == "Succeeded" || phase == "Failed";
}

}  // namespace berth::api
