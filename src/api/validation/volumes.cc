// The volumes of a pod.
#include <set>

#include "api/validation/report.h"
#include "api/validation/validation.h"
#include "base/text.h"

namespace berth::validation {
namespace {

void validate_items(Report& report, const std::string& path, const Value& items) {
  std::size_t index = 0;
  for (const Value& item : items) {
    std::string here = at(path, index++);
    if (item["key"].as_string().empty()) report.required(here + ".key");
    if (item["path"].as_string().empty()) {
      report.required(here + ".path");
    } else {
      report.local_path(here + ".path", item["path"]);
    }
    report.mode(here + ".mode", item["mode"]);
  }
}

void validate_downward_items(Report& report, const std::string& path, const Value& items) {
  std::size_t index = 0;
  for (const Value& item : items) {
    std::string here = at(path, index++);
    if (item["path"].as_string().empty()) report.required(here + ".path");
    report.local_path(here + ".path", item["path"]);
    bool field = item["fieldRef"].is_object(), resource = item["resourceFieldRef"].is_object();
    if (field && resource) report.invalid(here, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously");
    if (!field && !resource) report.required(here, "one of fieldRef and resourceFieldRef is required");
    if (field && item["fieldRef"]["fieldPath"].as_string().empty()) report.required(here + ".fieldRef.fieldPath");
    if (resource && item["resourceFieldRef"]["containerName"].as_string().empty()) report.required(here + ".resourceFieldRef.containerName");
    report.mode(here + ".mode", item["mode"]);
  }
}

void validate_projection(Report& report, const std::string& path, const Value& source, std::set<std::string>& paths) {
  int count = 0;
  auto start = [&](const char* kind) {
    if (++count > 1) report.forbidden(path + "." + kind, "may not specify more than 1 volume type");
  };
  for (const char* kind : {"secret", "configMap"}) {
    if (!source[kind].is_object()) continue;
    start(kind);
    if (source[kind]["name"].as_string().empty()) report.required(path + "." + kind + ".name");
    validate_items(report, path + "." + kind + ".items", source[kind]["items"]);
    for (const Value& item : source[kind]["items"]) {
      if (!paths.insert(item["path"].str()).second) {
        report.invalid(path + "." + kind, source[kind]["name"], "conflicting duplicate paths");
      }
    }
  }
  if (source["downwardAPI"].is_object()) {
    start("downwardAPI");
    validate_downward_items(report, path + ".downwardAPI.items", source["downwardAPI"]["items"]);
  }
  if (const Value& token = source["serviceAccountToken"]; token.is_object()) {
    start("serviceAccountToken");
    if (token["expirationSeconds"].is_int() && token["expirationSeconds"].as_int() < 600) {
      report.invalid(path + ".serviceAccountToken.expirationSeconds", token["expirationSeconds"], "may not specify a duration less than 10 minutes");
    }
    if (token["path"].as_string().empty()) {
      report.required(path + ".serviceAccountToken.path");
    } else {
      report.local_path(path + ".serviceAccountToken.path", token["path"]);
    }
  }
  for (const char* kind : {"clusterTrustBundle", "podCertificate"}) {
    if (source[kind].is_object()) start(kind);
  }
  if (count == 0) report.required(path, "must specify a projected volume source");
}

void validate_host_path(Report& report, const std::string& path, const Value& source) {
  if (source["path"].as_string().empty()) return report.required(path + ".path");
  report.no_backsteps(path + ".path", source["path"]);
  report.one_of(path + ".type", source["type"],
                {"", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"});
}

void validate_nfs(Report& report, const std::string& path, const Value& source) {
  if (source["server"].as_string().empty()) report.required(path + ".server");
  std::string_view exported = source["path"].as_string();
  if (exported.empty()) {
    report.required(path + ".path");
  } else if (!exported.starts_with("/")) {
    report.invalid(path + ".path", exported, "must be an absolute path");
  }
}

void validate_config_source(Report& report, const std::string& path, const Value& source, const char* name_field) {
  if (source[name_field].as_string().empty()) report.required(path + "." + name_field);
  report.mode(path + ".defaultMode", source["defaultMode"]);
  validate_items(report, path + ".items", source["items"]);
}

void validate_source(Report& report, const std::string& path, const std::string& kind, const Value& source) {
  std::string here = path + "." + kind;
  if (kind == "emptyDir") {
    if (!source["sizeLimit"].is_null()) {
      std::size_t before = report.size();
      report.quantity_not_negative(here + ".sizeLimit", source["sizeLimit"]);
      if (report.size() > before) return;
    }
  } else if (kind == "hostPath") {
    validate_host_path(report, here, source);
  } else if (kind == "secret") {
    validate_config_source(report, here, source, "secretName");
  } else if (kind == "configMap") {
    validate_config_source(report, here, source, "name");
  } else if (kind == "nfs") {
    validate_nfs(report, here, source);
  } else if (kind == "persistentVolumeClaim") {
    if (source["claimName"].as_string().empty()) report.required(here + ".claimName");
  } else if (kind == "downwardAPI") {
    report.mode(here + ".defaultMode", source["defaultMode"]);
    validate_downward_items(report, here + ".items", source["items"]);
  } else if (kind == "projected") {
    report.mode(here + ".defaultMode", source["defaultMode"]);
    std::set<std::string> paths;
    std::size_t index = 0;
    for (const Value& projection : source["sources"]) validate_projection(report, at(here + ".sources", index++), projection, paths);
  } else if (kind == "csi") {
    if (source["driver"].as_string().empty()) report.required(here + ".driver");
  } else if (kind == "ephemeral") {
    if (!source["volumeClaimTemplate"].is_object()) {
      report.required(here + ".volumeClaimTemplate");
    } else {
      validate_claim_spec(report, here + ".volumeClaimTemplate.spec", source["volumeClaimTemplate"]["spec"]);
    }
  } else if (kind == "image") {
    if (source["reference"].as_string().empty()) report.required(here + ".reference");
  }
}

}  // namespace

void validate_volumes(Report& report, const std::string& path, const Value& volumes) {
  // In the order in which upstream looks at them: the second kind found is the one complained about.
  static const char* const kKinds[] = {"emptyDir", "hostPath", "gitRepo", "gcePersistentDisk", "awsElasticBlockStore", "secret", "nfs", "iscsi",
                                       "glusterfs", "flocker", "persistentVolumeClaim", "rbd", "cinder", "cephfs", "quobyte", "downwardAPI", "fc",
                                       "flexVolume", "configMap", "azureFile", "vsphereVolume", "photonPersistentDisk", "portworxVolume", "azureDisk",
                                       "storageos", "projected", "scaleIO", "csi", "ephemeral", "image"};
  std::set<std::string> names;
  std::size_t index = 0;
  for (const Value& volume : volumes) {
    std::string here = at(path, index++);
    int count = 0;
    for (const char* kind : kKinds) {
      if (!volume[kind].is_object()) continue;
      if (++count > 1) {
        report.forbidden(here + "." + kind, "may not specify more than 1 volume type");
      } else {
        validate_source(report, here, kind, volume[kind]);
      }
    }
    if (count == 0) report.required(here, "must specify a volume type");
    std::string name = volume["name"].str();
    if (name.empty()) {
      report.required(here + ".name");
    } else {
      report.complaints(here + ".name", name, is_dns1123_label(name));
      if (!names.insert(name).second) report.duplicate(here + ".name", name);
    }
  }
}

}  // namespace berth::validation
