// ConfigMap, Secret and the small kinds.
#include "api/validation/report.h"
#include "api/validation/validation.h"
#include "base/text.h"

namespace berth::validation {
namespace {

constexpr std::size_t kMaxConfigBytes = 1024 * 1024;

void validate_frozen(Report& report, const Value& before, const Value& after, std::initializer_list<const char*> fields) {
  if (!before["immutable"].as_bool()) return;
  if (!after["immutable"].as_bool()) report.forbidden("immutable", "field is immutable when `immutable` is set");
  for (const char* field : fields) {
    if (before[field] != after[field]) report.forbidden(field, "field is immutable when `immutable` is set");
  }
}

}  // namespace

void validate_config_map(Report& report, const Value& object) {
  std::size_t bytes = 0;
  for (auto [key, value] : object["data"].entries()) {
    report.complaints(at_key("data", key), key, is_config_key(key));
    if (object["binaryData"].contains(key)) report.invalid(at_key("data", key), key, "duplicate of key present in binaryData");
    bytes += value.as_string().size();
  }
  for (auto [key, value] : object["binaryData"].entries()) {
    report.complaints(at_key("binaryData", key), key, is_config_key(key));
    bytes += value.as_string().size() / 4 * 3;
  }
  if (bytes > kMaxConfigBytes) report.add(api::too_long("", "", static_cast<int>(kMaxConfigBytes)));
}

void validate_config_map_update(Report& report, const Value& before, const Value& after) {
  validate_metadata_update(report, before["metadata"], after["metadata"]);
  validate_frozen(report, before, after, {"data", "binaryData"});
}

void validate_secret(Report& report, const Value& object) {
  std::size_t bytes = 0;
  const Value& data = object["data"];
  for (auto [key, value] : data.entries()) {
    report.complaints(at_key("data", key), key, is_config_key(key));
    bytes += value.as_string().size() / 4 * 3;
  }
  if (bytes > kMaxConfigBytes) report.add(api::too_long("data", "", static_cast<int>(kMaxConfigBytes)));
  std::string_view type = object["type"].as_string();
  auto need = [&](const char* key) {
    if (!data.contains(key)) report.required(at_key("data", key));
  };
  if (type == "kubernetes.io/service-account-token") {
    if (object["metadata"]["annotations"]["kubernetes.io/service-account.name"].as_string().empty()) {
      report.required("metadata.annotations[kubernetes.io/service-account.name]");
    }
  } else if (type == "kubernetes.io/dockercfg" || type == "kubernetes.io/dockerconfigjson") {
    const char* key = type == "kubernetes.io/dockercfg" ? ".dockercfg" : ".dockerconfigjson";
    need(key);
    if (data.contains(key)) {
      Result<std::string> text = base64_decode(data[key].as_string());
      if (!text.ok() || !json::parse(*text).ok()) report.invalid_shown(at_key("data", key), "\"<secret contents redacted>\"", "invalid JSON");
    }
  } else if (type == "kubernetes.io/basic-auth") {
    if (!data.contains("username") && !data.contains("password")) {
      report.required("data[username]");
      report.required("data[password]");
    }
  } else if (type == "kubernetes.io/ssh-auth") {
    need("ssh-privatekey");
  } else if (type == "kubernetes.io/tls") {
    need("tls.crt");
    need("tls.key");
  }
}

void validate_secret_update(Report& report, const Value& before, const Value& after) {
  validate_metadata_update(report, before["metadata"], after["metadata"]);
  validate_immutable(report, "type", before["type"], after["type"]);
  validate_frozen(report, before, after, {"data"});
}

void validate_lease(Report& report, const Value& object) {
  const Value& seconds = object["spec"]["leaseDurationSeconds"];
  if (seconds.is_int() && seconds.as_int() <= 0) report.invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0");
  if (object["spec"]["leaseTransitions"].as_int() < 0) {
    report.invalid("spec.leaseTransitions", object["spec"]["leaseTransitions"], "must be greater than or equal to 0");
  }
}

void validate_node(Report& report, const Value& object) {
  std::size_t index = 0;
  for (const Value& taint : object["spec"]["taints"]) {
    std::string here = at("spec.taints", index++);
    report.complaints(here + ".key", taint["key"], is_qualified_name(taint["key"].as_string()));
    report.complaints(here + ".value", taint["value"].as_string(), is_label_value(taint["value"].as_string()));
    report.one_of(here + ".effect", taint["effect"], {"NoSchedule", "PreferNoSchedule", "NoExecute"}, true);
  }
}

void validate_event(Report& report, const Value& object) {
  const Value& about = object["involvedObject"].is_null() ? object["regarding"] : object["involvedObject"];
  std::string_view about_namespace = about["namespace"].as_string(), own = object["metadata"]["namespace"].as_string();
  bool fits = about_namespace.empty() ? own == "default" || own == "kube-system" : about_namespace == own;
  if (!fits) report.invalid("involvedObject.namespace", about_namespace, "does not match event.namespace");
  report.one_of("type", object["type"], {"Normal", "Warning"});
}

}  // namespace berth::validation
