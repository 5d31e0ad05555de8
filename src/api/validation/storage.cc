// PersistentVolume, PersistentVolumeClaim, StorageClass.
#include <algorithm>
#include <set>

#include "api/validation/check_functions.h"
#include "api/validation/checks.h"
#include "api/validation/validation.h"
#include "base/quantity.h"
#include "base/text.h"

namespace berth::validation {
namespace {

void validate_access_modes(Report& report, const Path& path, const Value& modes, std::string_view none) {
  static const std::set<std::string_view> kModes = {"ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"};
  if (modes.empty()) report.required(path, none);
  bool once_pod = false, other = false;
  for (const Value& mode : modes) {
    if (!kModes.contains(mode.as_string())) report.not_supported(path, mode, {"ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"});
    (mode.as_string() == "ReadWriteOncePod" ? once_pod : other) = true;
  }
  if (once_pod && other) report.forbidden(path, "may not use ReadWriteOncePod with other access modes");
}

void validate_amount(Report& report, const Path& path, const Value& amount) {
  Result<Quantity> quantity = Quantity::parse(amount.as_string());
  if (!quantity.ok() || quantity->sign() <= 0) report.invalid(path, amount, "must be greater than zero");
}

void validate_class_name(Report& report, const Path& path, const Value& name) {
  if (!name.as_string().empty()) report.complaints(path, name, is_dns1123_subdomain(name.as_string()));
}

// A pointer: what is given must be one of the two, "" too.
void validate_volume_mode(Report& report, const Path& path, const Value& mode) {
  if (mode.is_null() || mode.as_string() == "Block" || mode.as_string() == "Filesystem") return;
  report.not_supported(path, mode, {"Block", "Filesystem"});
}

// A source of a persistent volume: its field, its name where it is one too many, its name and its checks inside.
struct Source {
  const char *field, *more, *inner, *block;
};
constexpr Source kSources[] = {
    {"hostPath", "hostPath", "hostPath", "HostPathVolumeSource"},
    {"gcePersistentDisk", "gcePersistentDisk", "persistentDisk", "GCEPersistentDiskVolumeSource"},
    {"awsElasticBlockStore", "awsElasticBlockStore", "awsElasticBlockStore", "AWSElasticBlockStoreVolumeSource"},
    {"glusterfs", "glusterfs", "glusterfs", "GlusterfsPersistentVolumeSource"},
    {"flocker", "flocker", "flocker", "FlockerVolumeSource"},
    {"nfs", "nfs", "nfs", "NFSVolumeSource"},
    {"rbd", "rbd", "rbd", "RBDPersistentVolumeSource"},
    {"quobyte", "quobyte", "quobyte", "QuobyteVolumeSource"},
    {"cephfs", "cephFS", "cephfs", "CephFSPersistentVolumeSource"},
    {"iscsi", "iscsi", "iscsi", "ISCSIPersistentVolumeSource"},
    {"cinder", "cinder", "cinder", "CinderPersistentVolumeSource"},
    {"fc", "fc", "fc", "FCVolumeSource"},
    {"flexVolume", "", "flexVolume", "FlexPersistentVolumeSource"},
    {"azureFile", "azureFile", "azureFile", "AzureFilePersistentVolumeSource"},
    {"vsphereVolume", "vsphereVolume", "vsphereVolume", "VsphereVirtualDiskVolumeSource"},
    {"photonPersistentDisk", "photonPersistentDisk", "photonPersistentDisk", "PhotonPersistentDiskVolumeSource"},
    {"portworxVolume", "portworxVolume", "portworxVolume", "PortworxVolumeSource"},
    {"azureDisk", "azureDisk", "azureDisk", "AzureDiskVolumeSource"},
    {"scaleIO", "scaleIO", "scaleIO", "ScaleIOPersistentVolumeSource"},
    {"local", "local", "local", "LocalVolumeSource"},
    {"storageos", "storageos", "storageos", "StorageOSPersistentVolumeSource"},
    {"csi", "csi", "csi", "CSIPersistentVolumeSource"},
};

const Value& volume_source(const Value& spec) {
  static const Value kNone;
  for (const Source& source : kSources) {
    if (spec[source.field].is_object()) return spec[source.field];
  }
  return kNone;
}

// Whether `field` is the source that counts: the first.
bool is_first_source(const Value& spec, std::string_view field) {
  for (const Source& source : kSources) {
    if (spec[source.field].is_object()) return source.field == field;
  }
  return false;
}

// One source, as a rule; a flexVolume is the exception that upstream never counts against the ones before it.
void validate_volume_source(Report& report, const Path& path, const Value& spec) {
  bool found = false;
  for (const Source& source : kSources) {
    if (!spec[source.field].is_object()) continue;
    if (found && *source.more != '\0') {
      report.forbidden(path / source.more, "may not specify more than 1 volume type");
    } else {
      const Path here = path / source.inner;
      if (const CheckBlock* block = builtin_checks().find(std::string("core.") + source.block)) run_checks(report, here, *block, spec[source.field]);
    }
    found = true;
  }
  if (!found) report.required(path, "must specify a volume type");
}

void validate_capacity(Report& report, const Path& path, const Value& capacity) {
  if (capacity.empty()) report.required(path);
  if (capacity["storage"].is_null() || capacity.size() > 1) report.not_supported(path, capacity, {"storage"});
  for (auto [name, amount] : capacity.entries()) validate_amount(report, path.key(name), amount);
}

void validate_data_source(Report& report, const Path& path, const Value& source) {
  if (!source.is_object()) return;
  const std::string_view kind = source["kind"].as_string(), group = source["apiGroup"].as_string();
  if (source["name"].as_string().empty()) report.required(path / "name");
  if (kind.empty()) report.required(path / "kind");
  if (group.empty() && kind != "PersistentVolumeClaim") report.invalid(path, kind, "must be 'PersistentVolumeClaim' when referencing the default apiGroup");
  if (!group.empty()) report.complaints(path / "apiGroup", group, is_dns1123_subdomain(group));
}

// The recycler scrubs what a volume holds: the whole machine, here.
bool recycles_root(const Value& spec) {
  const std::string_view path = spec["hostPath"]["path"].as_string();
  return spec["persistentVolumeReclaimPolicy"].as_string() == "Recycle" && path.starts_with('/') && path.find_first_not_of("/.") == std::string_view::npos;
}

void validate_topologies(Report& report, const Path& path, const Value& topologies) {
  std::vector<Value> seen;
  for (std::size_t i = 0; i < topologies.size(); ++i) {
    const Path term = path.at(i);
    const Path expressions = term / "matchLabelExpressions";
    std::set<std::string_view> keys;
    Value meaning = Value::object();
    std::size_t index = 0;
    for (const Value& expression : topologies[i]["matchLabelExpressions"]) {
      const Path here = expressions.at(index++);
      const Path values = here / "values";
      if (expression["values"].empty()) report.required(values);
      std::set<std::string_view> distinct;
      for (std::size_t k = 0; k < expression["values"].size(); ++k) {
        if (!distinct.insert(expression["values"][k].as_string()).second) report.duplicate(values.at(k), expression["values"][k]);
      }
      report.complaints(here / "key", expression["key"].as_string(), is_qualified_name(expression["key"].as_string()));
      if (!keys.insert(expression["key"].as_string()).second) report.duplicate(here / "key", expression["key"]);
      Value sorted = Value::object();
      for (std::string_view value : distinct) sorted.set(value, true);
      meaning.set(expression["key"].as_string(), std::move(sorted));
    }
    // Upstream compares with as many empty terms as there are terms, too.
    std::size_t alike = meaning.empty() ? topologies.size() : 0;
    alike += static_cast<std::size_t>(std::count(seen.begin(), seen.end(), meaning));
    for (std::size_t k = 0; k < alike; ++k) report.duplicate(expressions, "");
    seen.push_back(std::move(meaning));
  }
}

}  // namespace

void check_claim_spec(Report& report, const Path& path, const Value& spec) { validate_claim_spec(report, path, spec); }

// --- What only sources of persistent volumes have; called from schema/core.v1.checks

void check_volume_iscsi(Report& report, const Path& path, const Value& source) {
  constexpr std::string_view kFormat = "must be valid format";
  const Value &name = source["iqn"], &initiator = source["initiatorName"];
  if (name.as_string().empty()) {
    report.required(path / "iqn");
  } else if (!is_iscsi_name(name.as_string())) {
    report.invalid(path / "iqn", name, kFormat);
  }
  if (!initiator.is_null() && !is_iscsi_name(initiator.as_string())) report.invalid(path / "initiatorname", initiator, kFormat);
}

void check_gluster_namespace(Report& report, const Path& path, const Value& name) {
  if (name.is_null()) return;
  if (name.as_string().empty()) return report.invalid(path, name, "if the endpointnamespace is set, it must be a valid namespace name");
  report.complaints(path, name, is_dns1123_label(name.as_string()));
}

void check_azure_namespace(Report& report, const Path& path, const Value& name) {
  if (name.is_string() && name.as_string().empty()) report.required(path);
}

void validate_claim_spec(Report& report, const Path& path, const Value& spec) {
  validate_access_modes(report, path / "accessModes", spec["accessModes"], "at least 1 access mode is required");
  if (spec["selector"].is_object()) validate_label_selector(report, path / "selector", spec["selector"]);
  const Path resources = path / "resources";
  if (const Value& requested = spec["resources"]["requests"]["storage"]; requested.is_null()) {
    report.required(resources.key("storage"));
  } else {
    validate_amount(report, resources.key("storage"), requested);
  }
  validate_class_name(report, path / "storageClassName", spec["storageClassName"]);
  validate_volume_mode(report, path / "volumeMode", spec["volumeMode"]);
  const Value &source = spec["dataSource"], &reference = spec["dataSourceRef"];
  validate_data_source(report, path / "dataSource", source);
  validate_data_source(report, path / "dataSourceRef", reference);
  if (source.is_object() && reference.is_object()) {
    const bool elsewhere = !reference["namespace"].as_string().empty();
    const bool same = source["apiGroup"] == reference["apiGroup"] && source["kind"] == reference["kind"] && source["name"] == reference["name"];
    if (elsewhere) {
      report.invalid_shown(path, "{}", "may not be specified when dataSourceRef.namespace is specified");
    } else if (!same) {
      report.invalid_shown(path, "{}", "must match dataSourceRef");
    }
  }
  validate_class_name(report, path / "volumeAttributesClassName", spec["volumeAttributesClassName"]);
}

void validate_claim(Report& report, const Value& object) { validate_claim_spec(report, "spec", object["spec"]); }

void validate_claim_update(Report& report, const Value& before, const Value& after) {
  validate_metadata_update(report, before["metadata"], after["metadata"]);
  Value old_spec = before["spec"], new_spec = after["spec"];
  // A claim is bound once, may get its class late, and may grow while it is bound.
  if (old_spec["volumeName"].as_string().empty() && !new_spec["volumeName"].as_string().empty()) old_spec.set("volumeName", new_spec["volumeName"]);
  if (old_spec["storageClassName"].is_null() && !new_spec["storageClassName"].is_null()) old_spec.set("storageClassName", new_spec["storageClassName"]);
  if (!new_spec["volumeAttributesClassName"].is_null()) old_spec.set("volumeAttributesClassName", new_spec["volumeAttributesClassName"]);
  Result<Quantity> old_size = Quantity::parse(old_spec["resources"]["requests"]["storage"].as_string());
  Result<Quantity> new_size = Quantity::parse(new_spec["resources"]["requests"]["storage"].as_string());
  bool bound = before["status"]["phase"].as_string() == "Bound";
  if (bound && old_size.ok() && new_size.ok()) {
    if (*new_size < *old_size) {
      const Value& reached = before["status"]["capacity"]["storage"];
      Result<Quantity> capacity = Quantity::parse(reached.as_string());
      if (!capacity.ok() || *new_size <= *capacity) report.forbidden("spec.resources.requests.storage", "field can not be less than status.capacity");
    }
    old_spec.mut("resources").mut("requests").set("storage", new_spec["resources"]["requests"]["storage"]);
  }
  if (old_spec != new_spec) {
    report.forbidden("spec", "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims");
  }
}

void validate_volume(Report& report, const Value& object) {
  const Value& spec = object["spec"];
  const Path path("spec");
  validate_access_modes(report, path / "accessModes", spec["accessModes"], "");
  const Path capacity = path / "capacity";
  validate_capacity(report, capacity, spec["capacity"]);
  report.one_of(path / "persistentVolumeReclaimPolicy", spec["persistentVolumeReclaimPolicy"], {"Delete", "Recycle", "Retain"});
  if (spec["nodeAffinity"].is_object()) {
    if (!spec["nodeAffinity"]["required"].is_object()) {
      report.required("spec.nodeAffinity.required", "must specify required node constraints");
    } else {
      validate_node_selector(report, "spec.nodeAffinity.required", spec["nodeAffinity"]["required"]);
    }
  } else if (is_first_source(spec, "local") && !spec["local"]["path"].as_string().empty()) {
    report.required(path / "nodeAffinity", "Local volume requires node affinity");
  }
  validate_volume_source(report, path, spec);
  // The name of the volume and the portal become one name on the node.
  const Value& iscsi = spec["iscsi"];
  if (!iscsi["initiatorName"].is_null() && object["metadata"]["name"].as_string().size() + 1 + iscsi["targetPortal"].as_string().size() > 64) {
    report.invalid("spec.iscsi.targetportal", iscsi["targetPortal"].as_string(),
                   "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.");
  }
  if (recycles_root(spec)) report.forbidden(path / "persistentVolumeReclaimPolicy", "may not be 'recycle' for a hostPath mount of '/'");
  validate_class_name(report, path / "storageClassName", spec["storageClassName"]);
  validate_volume_mode(report, path / "volumeMode", spec["volumeMode"]);
  if (const Value& name = spec["volumeAttributesClassName"]; !name.is_null()) {
    if (name.as_string().empty()) report.required(path / "volumeAttributesClassName", "an empty string is disallowed");
    validate_class_name(report, path / "volumeAttributesClassName", name);
    if (!spec["csi"].is_object()) report.required(path / "csi", "has to be specified when using volumeAttributesClassName");
  }
}

void validate_volume_update(Report& report, const Value& before, const Value& after) {
  validate_metadata_update(report, before["metadata"], after["metadata"]);
  if (volume_source(before["spec"]) != volume_source(after["spec"])) report.forbidden("spec.persistentvolumesource", "spec.persistentvolumesource is immutable after creation");
  validate_immutable(report, "spec.volumeMode", before["spec"]["volumeMode"], after["spec"]["volumeMode"]);
}

void validate_storage_class(Report& report, const Value& object) {
  constexpr std::size_t kMostParameters = 512, kMostBytes = 256 * 1024;
  std::string_view provisioner = object["provisioner"].as_string();
  if (provisioner.empty()) {
    report.required("provisioner");
  } else {
    report.complaints("provisioner", provisioner, is_qualified_name(lower(provisioner)));
  }
  std::size_t bytes = 0;
  if (object["parameters"].size() > kMostParameters) {
    report.add(Cause{"FieldValueTooLong", "Too long: may not be more than 512 bytes", "Provisioner Parameters Length"});
  } else {
    for (auto [key, value] : object["parameters"].entries()) {
      if (key.empty()) report.invalid("parameters", key, "field can not be empty.");
      bytes += key.size() + value.as_string().size();
    }
    if (bytes > kMostBytes) report.add(api::too_long("parameters", "", static_cast<int>(kMostBytes)));
  }
  report.one_of("reclaimPolicy", object["reclaimPolicy"], {"Delete", "Retain"});
  if (const Value& mode = object["volumeBindingMode"]; mode.is_null()) {
    report.required("volumeBindingMode");
  } else if (mode.as_string() != "Immediate" && mode.as_string() != "WaitForFirstConsumer") {
    report.not_supported("volumeBindingMode", mode, {"Immediate", "WaitForFirstConsumer"});
  }
  validate_topologies(report, "allowedTopologies", object["allowedTopologies"]);
}

void validate_runtime_class_update(Report& report, const Value& before, const Value& after) {
  validate_metadata_update(report, before["metadata"], after["metadata"]);
  validate_immutable(report, "handler", before["handler"], Value(after["handler"].as_string()));
}

void validate_storage_class_update(Report& report, const Value& before, const Value& after) {
  validate_metadata_update(report, before["metadata"], after["metadata"]);
  validate_immutable(report, "parameters", before["parameters"], after["parameters"]);
  validate_immutable(report, "provisioner", before["provisioner"], Value(after["provisioner"].as_string()));
  validate_immutable(report, "reclaimPolicy", before["reclaimPolicy"], after["reclaimPolicy"]);
  validate_immutable(report, "volumeBindingMode", before["volumeBindingMode"], after["volumeBindingMode"]);
}

}  // namespace berth::validation
