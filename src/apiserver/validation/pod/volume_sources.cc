// What depends on several members of one kind of volume; the rest is in schema/core.v1.checks.
#include <algorithm>
#include <set>

#include "api/quantity.h"
#include "apiserver/validation/check_functions.h"
#include "apiserver/validation/validation.h"
#include "base/text.h"

namespace berth::apiserver::validation {
namespace {

bool is_alnum(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool all_digits(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// "iqn.2001-04.com.example:storage": year and month, a reversed domain, a name of its owner's choice.
bool is_iqn(std::string_view text) {
  for (std::size_t at = text.find("iqn."); at != std::string_view::npos; at = text.find("iqn.", at + 1)) {
    std::string_view rest = text.substr(at + 4);
    if (rest.size() < 9 || !all_digits(rest.substr(0, 4)) || rest[4] != '-' || !all_digits(rest.substr(5, 2)) ||
        rest[7] != '.')
      continue;
    rest.remove_prefix(8);
    const std::size_t colon = rest.find(':');
    if (colon == 0 || colon == std::string_view::npos) continue;
    const std::string_view domain = rest.substr(0, colon), name = rest.substr(colon + 1);
    const bool good_domain =
        std::all_of(domain.begin(), domain.end(), [](char c) { return is_alnum(c) || c == '-' || c == '.'; });
    if (good_domain && !name.empty() && name.find_first_of(",;*&$|\t\n\f\r ") == std::string_view::npos) return true;
  }
  return false;
}

// "eui" or "naa", any one character, and so many letters and digits.
bool is_coded_name(std::string_view text, std::size_t length) {
  return text.size() == 4 + length && std::all_of(text.begin() + 4, text.end(), is_alnum);
}

bool known_initiator_prefix(std::string_view text) {
  return text.starts_with("iqn") || text.starts_with("eui") || text.starts_with("naa");
}
bool malformed_initiator(std::string_view text) {
  if (text.starts_with("iqn")) return !is_iqn(text);
  if (text.starts_with("eui")) return !is_coded_name(text, 16);
  return text.starts_with("naa") && !is_coded_name(text, 32);
}

// As Go's net.SplitHostPort: one colon outside of brackets, and brackets only around the host.
bool is_host_port(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return false;
  std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  if (host.starts_with('[')) {
    if (host.find(']') != host.size() - 1) return false;
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return false;
  }
  return host.find_first_of("[]") == std::string_view::npos && port.find_first_of("[]") == std::string_view::npos;
}

}  // namespace

void check_empty_dir_size(Report& report, const Path& path, const Value& limit) {
  if (limit.is_null()) return;
  const Result<api::Quantity> amount = api::Quantity::parse(limit.as_string());
  if (amount.ok() && amount->sign() < 0) report.forbidden(path, "SizeLimit field must be a valid resource quantity");
}

void check_host_path(Report& report, const Path& path, const Value& source) {
  if (source["path"].as_string().empty()) return report.required(path / "path");
  report.no_backsteps(path / "path", source["path"]);
  static constexpr std::string_view kTypes[] = {"",     "BlockDevice",  "CharDevice", "Directory", "DirectoryOrCreate",
                                                "File", "FileOrCreate", "Socket"};
  if (source["type"].is_null() ||
      std::find(std::begin(kTypes), std::end(kTypes), source["type"].as_string()) != std::end(kTypes))
    return;
  report.not_supported(
      path / "type", source["type"],
      {"", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"});
}

bool is_iscsi_name(std::string_view name) { return known_initiator_prefix(name) && !malformed_initiator(name); }

void check_iscsi_name(Report& report, const Path& path, const Value& name) {
  if (!known_initiator_prefix(name.as_string())) {
    report.invalid(path, name, "must be valid format starting with iqn, eui, or naa");
  } else if (malformed_initiator(name.as_string())) {
    report.invalid(path, name, "must be valid format");
  }
}

void check_iscsi_initiator(Report& report, const Path& path, const Value& name) {
  if (!name.is_null()) check_iscsi_name(report, path, name);
}

void check_iscsi_secret(Report& report, const Path& path, const Value& source) {
  const bool asked = source["chapAuthDiscovery"].as_bool() || source["chapAuthSession"].as_bool();
  if (asked && !source["secretRef"].is_object()) report.required(path / "secretRef");
}

void check_fc(Report& report, const Path& path, const Value& source) {
  const Value& targets = source["targetWWNs"];
  if (targets.empty() && source["wwids"].empty())
    report.required(path / "targetWWNs", "must specify either targetWWNs or wwids, but not both");
  if (targets.empty()) return;
  if (!source["wwids"].empty())
    report.invalid(path / "targetWWNs", targets, "targetWWNs and wwids can not be specified simultaneously");
  if (source["lun"].is_null()) {
    report.required(path / "lun", "lun is required if targetWWNs is specified");
  } else {
    report.in_range(path / "lun", source["lun"], 0, 255);
  }
}

void check_quobyte(Report& report, const Path& path, const Value& source) {
  static constexpr std::string_view kWanted = "must be a host:port pair or multiple pairs separated by commas";
  const std::string_view registry = source["registry"].as_string();
  if (registry.empty()) {
    report.required(path / "registry", kWanted);
  } else if (source["tenant"].as_string().size() >= 65) {
    report.required(path / "tenant", "must be a UUID and may not exceed a length of 64 characters");
  } else {
    for (std::string_view pair : split(registry, ',')) {
      if (!is_host_port(pair)) report.invalid(path / "registry", source["registry"], kWanted);
    }
  }
}

void check_flocker(Report& report, const Path& path, const Value& source) {
  const std::string_view name = source["datasetName"].as_string(), uuid = source["datasetUUID"].as_string();
  if (name.empty() && uuid.empty()) report.required(path, "one of datasetName and datasetUUID is required");
  if (!name.empty() && !uuid.empty())
    report.invalid(path, "resource", "datasetName and datasetUUID can not be specified simultaneously");
  if (name.find('/') != std::string_view::npos) report.invalid(path / "datasetName", name, "must not contain '/'");
}

void check_flex_option(Report& report, const Path& path, const Value& key) {
  const std::string owner = "." + lower(cut(key.as_string(), "/").before);
  if (owner.ends_with(".kubernetes.io") || owner.ends_with(".k8s.io"))
    report.invalid(path, key, "kubernetes.io and k8s.io namespaces are reserved");
}

void check_azure_disk_uri(Report& report, const Path& path, const Value& source) {
  if (source["kind"].is_null()) return;
  static const Value kEmpty("");
  const Value& uri = source["diskURI"].is_null() ? kEmpty : source["diskURI"];
  if (source["kind"].as_string() == "Managed") {
    if (!uri.as_string().starts_with("/subscriptions/")) {
      report.not_supported(
          path / "diskURI", uri,
          {"/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"});
    }
  } else if (!uri.as_string().starts_with("https://")) {
    report.not_supported(path / "diskURI", uri,
                         {"https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"});
  }
}

void check_csi_driver_name(Report& report, const Path& path, const Value& name) {
  // The built-in provisioner's volumes have had this name since before names were checked, and are there.
  if (name.as_string() == "berth.dev/local") return;
  static const Value kEmpty("");
  const Value& shown = name.is_null() ? kEmpty : name;
  report.complaints(path, shown, is_dns1123_subdomain(lower(name.as_string())));
}

void check_csi_publish_secret(Report& report, const Path& path, const Value& source) {
  const Value& secret = source["nodePublishSecretRef"];
  if (!secret.is_object()) return;
  if (secret["name"].as_string().empty()) {
    report.required(path / "nodePublishSecretRef.name");
  } else {
    report.complaints(path / "name", secret["name"], is_dns1123_subdomain(secret["name"].as_string()));
  }
}

}  // namespace berth::apiserver::validation
