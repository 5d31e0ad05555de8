// PersistentVolume, PersistentVolumeClaim, StorageClass.
#include <algorithm>
#include <set>

#include "api/copy_field.h"
#include "api/quantity.h"
#include "apiserver/validation/check_functions.h"
#include "apiserver/validation/checks.h"
#include "apiserver/validation/go_value.h"
#include "apiserver/validation/validation.h"
#include "base/text.h"

namespace berth::apiserver::validation {
namespace {

constexpr const char* kClassAnnotation = "volume.beta.kubernetes.io/storage-class";

void validate_access_modes(Report& report, const Path& path, const Value& modes, std::string_view none) {
  static const std::set<std::string_view> kModes = {"ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce",
                                                    "ReadWriteOncePod"};
  if (modes.empty()) report.required(path, none);
  bool once_pod = false, other = false;
  for (const Value& mode : modes) {
    if (!kModes.contains(mode.as_string()))
      report.not_supported(path, mode, {"ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"});
    (mode.as_string() == "ReadWriteOncePod" ? once_pod : other) = true;
  }
  if (once_pod && other) report.forbidden(path, "may not use ReadWriteOncePod with other access modes");
}

void validate_amount(Report& report, const Path& path, const Value& amount) {
  Result<api::Quantity> quantity = api::Quantity::parse(amount.as_string());
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

// What a persistent volume's spec says about its source alone.
Value volume_source(const Value& spec) {
  Value sources = Value::object();
  for (const Source& source : kSources) {
    if (spec[source.field].is_object()) sources.set(source.field, spec[source.field]);
  }
  return sources;
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
      if (const CheckBlock* block = builtin_checks().find(std::string("core.") + source.block))
        run_checks(report, here, *block, spec[source.field]);
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
  if (group.empty() && kind != "PersistentVolumeClaim")
    report.invalid(path, kind, "must be 'PersistentVolumeClaim' when referencing the default apiGroup");
  if (!group.empty()) report.complaints(path / "apiGroup", group, is_dns1123_subdomain(group));
  const Value& ns = source["namespace"];
  if (!ns.as_string().empty()) report.complaints(path / "namespace", ns, is_dns1123_label(ns.as_string()));
}

// 0 where there is none.
api::Quantity storage_of(const Value& amounts) {
  static const api::Quantity kZero = api::Quantity::parse("0").value();
  Result<api::Quantity> size = api::Quantity::parse(amounts["storage"].as_string());
  return size.ok() ? *size : kZero;
}

// Where a volume can be reached may be said in the newer labels for the same.
constexpr std::pair<std::string_view, std::string_view> kNewerLabels[] = {
    {"failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"},
    {"failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"},
    {"beta.kubernetes.io/os", "kubernetes.io/os"},
    {"beta.kubernetes.io/arch", "kubernetes.io/arch"},
    {"beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type"},
};

// "" where there is none, which upstream takes for one that is called "".
std::string_view newer_label(std::string_view label) {
  for (const auto& [older, newer] : kNewerLabels) {
    if (older == label) return newer;
  }
  return "";
}

void validate_volume_affinity_update(Report& report, const Value& before, const Value& after) {
  Value renamed = before;
  const Value &old_terms = before["required"]["nodeSelectorTerms"], &new_terms = after["required"]["nodeSelectorTerms"];
  for (std::size_t i = 0; i < old_terms.size() && i < new_terms.size(); ++i) {
    const Value &old_expressions = old_terms[i]["matchExpressions"],
                &new_expressions = new_terms[i]["matchExpressions"];
    for (std::size_t k = 0; k < old_expressions.size() && k < new_expressions.size(); ++k) {
      const std::string_view wanted = new_expressions[k]["key"].as_string();
      if (newer_label(old_expressions[k]["key"].as_string()) != wanted) continue;
      renamed.mut("required").mut("nodeSelectorTerms").mut(i).mut("matchExpressions").mut(k).set("key", wanted);
    }
  }
  if (renamed == after) return;
  report.invalid_shown("nodeAffinity", shown_as_go(after, "io.k8s.api.core.v1.VolumeNodeAffinity"),
                       "field is immutable, except for updating from beta label to GA");
}

// The recycler scrubs what a volume holds: the whole machine, here.
bool recycles_root(const Value& spec) {
  const std::string_view path = spec["hostPath"]["path"].as_string();
  return spec["persistentVolumeReclaimPolicy"].as_string() == "Recycle" && path.starts_with('/') &&
         path.find_first_not_of("/.") == std::string_view::npos;
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
        if (!distinct.insert(expression["values"][k].as_string()).second)
          report.duplicate(values.at(k), expression["values"][k]);
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
  if (!initiator.is_null() && !is_iscsi_name(initiator.as_string()))
    report.invalid(path / "initiatorname", initiator, kFormat);
}

void check_gluster_namespace(Report& report, const Path& path, const Value& name) {
  if (name.is_null()) return;
  if (name.as_string().empty())
    return report.invalid(path, name, "if the endpointnamespace is set, it must be a valid namespace name");
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
    const bool same = source["apiGroup"] == reference["apiGroup"] && source["kind"] == reference["kind"] &&
                      source["name"] == reference["name"];
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
  validate_claim(report, after);
  Value old_spec = before["spec"], new_spec = after["spec"];
  const Value &old_class = old_spec["storageClassName"], &new_class = new_spec["storageClassName"];
  // A claim is bound once, may get its class late, and may grow while it is bound.
  if (old_spec["volumeName"].as_string().empty()) api::copy_field(old_spec, new_spec, "volumeName");
  const Value &old_annotation = before["metadata"]["annotations"][kClassAnnotation],
              &new_annotation = after["metadata"]["annotations"][kClassAnnotation];
  const bool is_late = old_class.is_null() && !new_class.is_null();
  if (is_late && !old_annotation.is_null() && old_annotation == new_class && new_annotation.as_string().empty()) {
    api::copy_field(new_spec, old_spec, "storageClassName");
  } else {
    if (old_annotation.as_string() != new_annotation.as_string()) {
      const Path annotations("metadata.annotations");
      report.invalid(annotations / kClassAnnotation, new_annotation.as_string(), "field is immutable");
    }
    if (is_late && old_annotation.is_null()) api::copy_field(new_spec, old_spec, "storageClassName");
  }
  if (after["status"]["phase"].as_string() == "Bound") {
    if (new_spec["resources"]["requests"].is_object())
      api::copy_field(new_spec.mut("resources").mut("requests"), old_spec["resources"]["requests"], "storage");
    api::copy_field(new_spec, old_spec, "volumeAttributesClassName");
  }
  if (old_spec != new_spec) {
    report.forbidden(
        "spec",
        "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n" +
            go_diff(old_spec, new_spec, "io.k8s.api.core.v1.PersistentVolumeClaimSpec"));
  }
  const api::Quantity size = storage_of(after["spec"]["resources"]["requests"]);
  if (size < storage_of(before["spec"]["resources"]["requests"]) && size <= storage_of(before["status"]["capacity"])) {
    report.forbidden("spec.resources.requests.storage", "field can not be less than status.capacity");
  }
  validate_immutable(report, "volumeMode", before["spec"]["volumeMode"], after["spec"]["volumeMode"]);
  constexpr const char* kAttributes = "volumeAttributesClassName";
  const bool cleared = !before["spec"][kAttributes].is_null() && after["spec"][kAttributes].is_null();
  if (cleared && !before["status"]["currentVolumeAttributesClassName"].is_null()) {
    report.forbidden("spec.volumeAttributesClassName",
                     "update to nil is forbidden when status.currentVolumeAttributesClassName is not nil");
  }
}

void validate_volume(Report& report, const Value& object) {
  const Value& spec = object["spec"];
  const Path path("spec");
  validate_access_modes(report, path / "accessModes", spec["accessModes"], "");
  const Path capacity = path / "capacity";
  validate_capacity(report, capacity, spec["capacity"]);
  report.one_of(path / "persistentVolumeReclaimPolicy", spec["persistentVolumeReclaimPolicy"],
                {"Delete", "Recycle", "Retain"});
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
  if (!iscsi["initiatorName"].is_null() &&
      object["metadata"]["name"].as_string().size() + 1 + iscsi["targetPortal"].as_string().size() > 64) {
    report.invalid(
        "spec.iscsi.targetportal", iscsi["targetPortal"].as_string(),
        "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.");
  }
  if (recycles_root(spec))
    report.forbidden(path / "persistentVolumeReclaimPolicy", "may not be 'recycle' for a hostPath mount of '/'");
  validate_class_name(report, path / "storageClassName", spec["storageClassName"]);
  validate_volume_mode(report, path / "volumeMode", spec["volumeMode"]);
  if (const Value& name = spec["volumeAttributesClassName"]; !name.is_null()) {
    if (name.as_string().empty()) report.required(path / "volumeAttributesClassName", "an empty string is disallowed");
    validate_class_name(report, path / "volumeAttributesClassName", name);
    if (!spec["csi"].is_object())
      report.required(path / "csi", "has to be specified when using volumeAttributesClassName");
  }
}

void validate_volume_update(Report& report, const Value& before, const Value& after) {
  validate_metadata_update(report, before["metadata"], after["metadata"]);
  const Value old_source = volume_source(before["spec"]);
  Value new_source = volume_source(after["spec"]);
  // A CSI volume may get the secret for its growth late.
  constexpr const char* kGrowth = "controllerExpandSecretRef";
  if (old_source["csi"].is_object() && old_source["csi"][kGrowth].is_null() && !new_source["csi"][kGrowth].is_null())
    new_source.mut("csi").erase(kGrowth);
  if (old_source != new_source) {
    report.forbidden("spec.persistentvolumesource",
                     "spec.persistentvolumesource is immutable after creation\n" +
                         go_diff(old_source, new_source, "io.k8s.api.core.v1.PersistentVolumeSpec"));
  }
  validate_immutable(report, "volumeMode", before["spec"]["volumeMode"], after["spec"]["volumeMode"]);
  if (!before["spec"]["nodeAffinity"].is_null())
    validate_volume_affinity_update(report, before["spec"]["nodeAffinity"], after["spec"]["nodeAffinity"]);
  constexpr const char* kAttributes = "volumeAttributesClassName";
  if (!before["spec"][kAttributes].is_null() && after["spec"][kAttributes].is_null()) {
    report.forbidden("spec.volumeAttributesClassName", "update from non-nil value to nil is forbidden");
  }
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

}  // namespace berth::apiserver::validation
