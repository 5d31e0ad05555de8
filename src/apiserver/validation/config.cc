// ConfigMap, Secret and the small kinds.
#include <algorithm>
#include <set>

#include "apiserver/validation/addresses.h"
#include "apiserver/validation/check_functions.h"
#include "apiserver/validation/go_value.h"
#include "apiserver/validation/validation.h"
#include "base/text.h"

namespace berth::apiserver::validation {
namespace {

constexpr std::size_t kMaxConfigBytes = 1024 * 1024;

void validate_frozen(Report& report, const Value& before, const Value& after,
                     std::initializer_list<const char*> fields) {
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
    if (object["binaryData"].contains(key))
      report.invalid(at_key("data", key), key, "duplicate of key present in binaryData");
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
      if (!text.ok() || !json::parse(*text).ok())
        report.invalid_shown(at_key("data", key), "\"<secret contents redacted>\"", "invalid JSON");
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

// --- node.k8s.io, called from schema/node.v1.checks

// Overhead is held to the rules of a pod's limits, and named so.
void check_runtime_overhead(Report& report, const Path& path, const Value& overhead) {
  validate_resources(report, path, Value::object({{"limits", overhead["podFixed"]}}), ResourcesOf::kContainer, nullptr);
}
void check_tolerations(Report& report, const Path& path, const Value& tolerations) {
  validate_tolerations(report, path, tolerations);
  for (std::size_t i = 1; i < tolerations.size(); ++i) {
    const auto end = tolerations.begin() + static_cast<std::ptrdiff_t>(i);
    if (std::find(tolerations.begin(), end, tolerations[i]) == end) continue;
    report.add(Cause{"FieldValueDuplicate",
                     "Duplicate value: " + shown_as_go(tolerations[i], "io.k8s.api.core.v1.Toleration"),
                     path.at(i).text()});
  }
}

namespace {

void check_taints(Report& report, const Path& path, const Value& taints) {
  std::set<std::pair<std::string_view, std::string_view>> seen;
  for (std::size_t i = 0; i < taints.size(); ++i) {
    const Value& taint = taints[i];
    const Path here = path.at(i);
    const std::string_view key = taint["key"].as_string(), value = taint["value"].as_string(),
                           effect = taint["effect"].as_string();
    report.complaints(here / "key", key, is_qualified_name(key));
    if (const auto complaints = is_label_value(value); !complaints.empty())
      report.invalid(here / "value", value, join(complaints, ";"));
    report.one_of(here / "effect", taint["effect"], {"NoSchedule", "PreferNoSchedule", "NoExecute"}, true);
    if (seen.emplace(effect, key).second) continue;
    const Value& added = taint["timeAdded"];
    report.add(Cause{"FieldValueDuplicate",
                     "Duplicate value: {\"Key\":" + quoted(key) + ",\"Value\":" + quoted(value) +
                         ",\"Effect\":" + quoted(effect) + ",\"TimeAdded\":" + json::encode(added) +
                         "}: taints must be unique by key and effect pair",
                     here.text()});
  }
}

void check_pod_networks(Report& report, const Value& networks) {
  const Path path("spec.podCIDRs");
  bool good = true;
  for (std::size_t i = 0; i < networks.size(); ++i) {
    const auto complaints = is_legacy_cidr(networks[i].as_string());
    report.complaints(path.at(i), networks[i], complaints);
    good = good && complaints.empty();
  }
  if (networks.size() < 2) return;
  if (!good) {
    std::size_t bad = 0;
    while (is_legacy_cidr(networks[bad].as_string()).empty()) ++bad;
    report.add(Cause{"InternalError",
                     "Internal error: invalid PodCIDRs. failed to check with dual stack with error:invalid CIDR[" +
                         std::to_string(bad) + "]: <nil> (invalid CIDR address: " + networks[bad].str() + ")",
                     path.text()});
    return report.invalid(path, networks, "may specify no more than one CIDR for each IP family");
  }
  auto six = [&](std::size_t i) { return networks[i].as_string().find(':') != std::string_view::npos; };
  if (networks.size() > 2 || six(0) == six(1))
    report.invalid(path, networks, "may specify no more than one CIDR for each IP family");
}

}  // namespace

void validate_node(Report& report, const Value& object) {
  check_taints(report, "metadata.taints", object["spec"]["taints"]);  // upstream's name of the place
  check_pod_networks(report, object["spec"]["podCIDRs"]);
}

void validate_namespace(Report& report, const Value& object) {
  for (const Value& finalizer : object["spec"]["finalizers"]) {
    report.complaints("spec.finalizers", finalizer, is_qualified_name(finalizer.as_string()));
    validate_finalizer_name(report, "spec.finalizers", finalizer.as_string());
  }
}

void validate_revision(Report& report, const Value& object) {
  const Value& data = object["data"];
  if (data.is_null()) {
    report.required("data", "data is mandatory");
  } else if (!data.is_object()) {
    report.required("data", "data must be a valid JSON object");
  }
  report.not_negative("revision", object["revision"]);
}

}  // namespace berth::apiserver::validation
