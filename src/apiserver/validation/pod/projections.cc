// Sources of downward API and projected volumes: fields of the pod, resources of its containers, tokens.
#include <algorithm>
#include <set>

#include "api/quantity.h"
#include "apiserver/validation/check_functions.h"
#include "apiserver/validation/validation.h"
#include "base/text.h"

namespace berth::apiserver::validation {
namespace {

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> list) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

struct Subscripted {
  std::string_view path, subscript;
  bool found = false;
};
// "metadata.labels['app']" -> {"metadata.labels", "app"}.
Subscripted split_subscript(std::string_view text) {
  const std::size_t open = text.find("['");
  if (open == 0 || open == std::string_view::npos || !text.ends_with("']") || text.size() < open + 4)
    return {text, {}, false};
  return {text.substr(0, open), text.substr(open + 2, text.size() - open - 4), true};
}

// The field that a downward field path names, or why there is none.
Result<std::string_view> downward_field(std::string_view version, std::string_view label) {
  if (version != "v1") return error(Code::kInvalid, "unsupported pod version: " + std::string(version));
  if (const Subscripted parts = split_subscript(label); parts.found) {
    if (is_one_of(parts.path, {"metadata.annotations", "metadata.labels"})) return label;
    return error(Code::kInvalid, "field label does not support subscript: " + std::string(label));
  }
  if (label == "spec.host") return std::string_view("spec.nodeName");
  if (is_one_of(label,
                {"metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid",
                 "spec.nodeName", "spec.restartPolicy", "spec.serviceAccountName", "spec.schedulerName", "status.phase",
                 "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"})) {
    return label;
  }
  return error(Code::kInvalid, "field label not supported: " + std::string(label));
}

bool supported_divisor(std::string_view divisor, bool cpu) {
  if (cpu) return is_one_of(divisor, {"1m", "1"});
  return is_one_of(divisor, {"1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"});
}

void check_divisor(Report& report, const Path& path, const Value& ref) {
  const Result<api::Quantity> divisor = api::Quantity::parse(ref["divisor"].as_string("0"));
  if (!divisor.ok() || divisor->sign() == 0) return;
  std::string resource = ref["resource"].str();
  const Cut parts = cut(resource, ".");
  const bool limits_or_requests = parts.before == "limits" || parts.before == "requests";
  const std::string_view name = limits_or_requests ? parts.after : std::string_view();
  std::string_view shown;
  if (name == "cpu") shown = "cpu";
  if (name == "memory") shown = "memory";
  if (name == "ephemeral-storage") shown = "local ephemeral storage";
  if (name.starts_with("hugepages-")) shown = "hugepages";
  if (shown.empty() || supported_divisor(divisor->to_string(), shown == "cpu")) return;
  const std::string_view values =
      shown == "cpu" ? "1m and 1" : "1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei";
  report.invalid(
      path / "divisor", resource,
      "only divisor's values " + std::string(values) + " are supported with the " + std::string(shown) + " resource");
}

void check_downward_item(Report& report, const Path& path, const Value& item) {
  const Value& file = item["path"];
  static const Value kEmpty("");
  if (file.as_string().empty()) report.required(path / "path");
  report.local_path(path / "path", file.is_null() ? kEmpty : file);
  const Value &field = item["fieldRef"], &resource = item["resourceFieldRef"];
  if (field.is_object()) {
    validate_field_ref(report, path / "fieldRef", field, FieldRefPlace::kVolume);
    if (resource.is_object())
      report.invalid(path, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously");
  } else if (resource.is_object()) {
    validate_resource_field_ref(report, path / "resourceFieldRef", resource, FieldRefPlace::kVolume);
  } else {
    report.required(path, "one of fieldRef and resourceFieldRef is required");
  }
  report.mode(path / "mode", item["mode"]);
}

// The paths that a projected volume's sources write to; each may be written once.
class Paths {
 public:
  Paths(Report& report, const Path& volume) : report_(report), volume_(volume) {}
  void add(std::string_view path, const Value& shown) {
    if (!seen_.insert(path).second) report_.invalid(volume_, shown, "conflicting duplicate paths");
  }
  void add_given(std::string_view path, const Value& shown) {
    if (!path.empty()) add(path, shown);
  }

 private:
  Report& report_;
  const Path& volume_;
  std::set<std::string_view> seen_;
};

void check_keyed_source(Report& report, const Path& path, const Value& source, Paths& paths) {
  static const CheckBlock& kItem = checks_of("core.KeyToPath");
  static const Value kEmpty("");
  if (source["name"].as_string().empty()) report.required(path / "name");
  const Path items = path / "items";
  std::size_t index = 0;
  for (const Value& item : source["items"]) {
    const Path here = items.at(index++);
    run_checks(report, here, kItem, item);
    paths.add_given(item["path"].as_string(), source["name"].is_null() ? kEmpty : source["name"]);
  }
}

void check_token(Report& report, const Path& volume, const Path& path, const Value& token) {
  const std::int64_t seconds = token["expirationSeconds"].as_int();
  const Value shown(static_cast<long>(seconds));
  if (seconds < 600)
    report.invalid(path / "expirationSeconds", shown, "may not specify a duration less than 10 minutes");
  if (seconds > (std::int64_t{1} << 32))
    report.invalid(path / "expirationSeconds", shown, "may not specify a duration larger than 2^32 seconds");
  if (token["path"].as_string().empty()) {
    report.required(volume / "path");
  } else {
    report.local_path(volume / "path", token["path"]);
  }
}

}  // namespace

void validate_field_ref(Report& report, const Path& path, const Value& ref, FieldRefPlace place) {
  const Value& field_path = ref["fieldPath"];
  if (ref["apiVersion"].as_string().empty()) return report.required(path / "apiVersion");
  if (field_path.as_string().empty()) return report.required(path / "fieldPath");
  const Result<std::string_view> field = downward_field(ref["apiVersion"].as_string(), field_path.as_string());
  if (!field.ok())
    return report.invalid(path / "fieldPath", field_path, "error converting fieldPath: " + field.error().message);
  if (const Subscripted parts = split_subscript(*field); parts.found) {
    const std::string key =
        parts.path == "metadata.annotations" ? lower(parts.subscript) : std::string(parts.subscript);
    report.complaints(path, key, is_qualified_name(key));
  } else if (place == FieldRefPlace::kEnvironment) {
    if (is_one_of(*field,
                  {"metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
                   "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"})) {
      return;
    }
    report.not_supported(
        path / "fieldPath", Value(*field),
        {"metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
         "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"});
  } else if (!is_one_of(*field, {"metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace",
                                 "metadata.uid"})) {
    report.not_supported(
        path / "fieldPath", Value(*field),
        {"metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"});
  }
}

void validate_resource_field_ref(Report& report, const Path& path, const Value& ref, FieldRefPlace place) {
  const std::string_view resource = ref["resource"].as_string();
  if (place == FieldRefPlace::kVolume && ref["containerName"].as_string().empty()) {
    report.required(path / "containerName");
  } else if (resource.empty()) {
    report.required(path / "resource");
  } else if (!is_one_of(resource, {"limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu",
                                   "requests.ephemeral-storage", "requests.memory"}) &&
             !resource.starts_with("requests.hugepages-") && !resource.starts_with("limits.hugepages-")) {
    report.not_supported(path / "resource", ref["resource"],
                         {"limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu",
                          "requests.ephemeral-storage", "requests.memory"});
  }
  check_divisor(report, path, ref);
}

// Upstream reports what is wrong with an item at the volume, without the item's index.
void check_downward_items(Report& report, const Path& path, const Value& source) {
  for (const Value& item : source["items"]) check_downward_item(report, path, item);
}

void check_projected_sources(Report& report, const Path& path, const Value& volume) {
  Paths paths(report, path);
  const Path sources = path / "sources";
  std::size_t index = 0;
  for (const Value& source : volume["sources"]) {
    const Path here = sources.at(index++);
    int count = 0;
    for (const char* kind : {"secret", "configMap"}) {
      if (!source[kind].is_object()) continue;
      ++count;
      check_keyed_source(report, here / kind, source[kind], paths);
    }
    if (const Value& downward = source["downwardAPI"]; downward.is_object()) {
      ++count;
      const Path there = here / "downwardAPI";
      for (const Value& item : downward["items"]) {
        check_downward_item(report, there, item);
        paths.add_given(item["path"].as_string(), item["path"]);
      }
    }
    if (source["serviceAccountToken"].is_object()) {
      ++count;
      check_token(report, path, here / "serviceAccountToken", source["serviceAccountToken"]);
    }
    for (const char* kind : {"clusterTrustBundle", "podCertificate"}) count += source[kind].is_object() ? 1 : 0;
    if (count > 1) report.forbidden(here, "may not specify more than 1 volume type per source");
  }
}

}  // namespace berth::apiserver::validation
