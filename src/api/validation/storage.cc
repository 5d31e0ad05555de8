// PersistentVolume, PersistentVolumeClaim, StorageClass.
#include <algorithm>

#include "api/validation/check_functions.h"
#include "api/validation/validation.h"
#include "base/quantity.h"
#include "base/text.h"

namespace berth::validation {
namespace {

const std::vector<std::string> kAccessModes = {"ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"};

void validate_access_modes(Report& report, const std::string& path, const Value& modes) {
  if (modes.empty()) report.required(path, "at least 1 access mode is required");
  bool once_pod = false, other = false;
  for (const Value& mode : modes) {
    if (std::find(kAccessModes.begin(), kAccessModes.end(), mode.as_string()) == kAccessModes.end()) {
      report.add(api::not_supported(path, mode, kAccessModes));
    } else {
      (mode.as_string() == "ReadWriteOncePod" ? once_pod : other) = true;
    }
  }
  if (once_pod && other) report.forbidden(path, "may not use ReadWriteOncePod with other access modes");
}

void validate_positive(Report& report, const std::string& path, const Value& amount) {
  Result<Quantity> quantity = Quantity::parse(amount.as_string());
  if (!quantity.ok() || quantity->sign() <= 0) report.invalid(path, amount, "must be greater than zero");
}

const char* const kVolumeKinds[] = {"hostPath", "gcePersistentDisk", "awsElasticBlockStore", "glusterfs", "flocker", "nfs", "rbd", "quobyte",
                                    "cephfs", "iscsi", "cinder", "fc", "flexVolume", "azureFile", "vsphereVolume", "photonPersistentDisk",
                                    "portworxVolume", "azureDisk", "scaleIO", "local", "storageos", "csi"};

const Value& volume_source(const Value& spec) {
  static const Value kNone;
  for (const char* kind : kVolumeKinds) {
    if (spec[kind].is_object()) return spec[kind];
  }
  return kNone;
}

void validate_volume_source(Report& report, const Value& spec) {
  int count = 0;
  for (const char* kind : kVolumeKinds) {
    const Value& source = spec[kind];
    if (!source.is_object()) continue;
    std::string here = std::string("spec.") + kind;
    if (++count > 1) {
      report.forbidden(here, "may not specify more than 1 volume type");
      continue;
    }
    std::string name = kind;
    if (name == "hostPath" || name == "local") {
      if (source["path"].as_string().empty()) report.required(here + ".path");
      report.no_backsteps(here + ".path", source["path"]);
      if (name == "local" && !spec["nodeAffinity"].is_object()) report.required("spec.nodeAffinity", "Local volume requires node affinity");
    } else if (name == "nfs") {
      if (source["server"].as_string().empty()) report.required(here + ".server");
      if (source["path"].as_string().empty()) {
        report.required(here + ".path");
      } else if (!source["path"].as_string().starts_with("/")) {
        report.invalid(here + ".path", source["path"], "must be an absolute path");
      }
    } else if (name == "csi") {
      if (source["driver"].as_string().empty()) report.required(here + ".driver");
      if (source["volumeHandle"].as_string().empty()) report.required(here + ".volumeHandle");
    }
  }
  if (count == 0) report.required("spec", "must specify a volume type");
}

}  // namespace

void check_claim_spec(Report& report, const Path& path, const Value& spec) { validate_claim_spec(report, path, spec); }

void validate_claim_spec(Report& report, const Path& place, const Value& spec) {
  const std::string path = place.text();
  if (spec["selector"].is_object()) validate_label_selector(report, path + ".selector", spec["selector"]);
  validate_access_modes(report, path + ".accessModes", spec["accessModes"]);
  const Value& requested = spec["resources"]["requests"]["storage"];
  if (requested.is_null()) {
    report.required(path + ".resources[storage]");
  } else {
    validate_positive(report, path + ".resources[storage]", requested);
  }
  if (std::string_view name = spec["storageClassName"].as_string(); !name.empty()) {
    report.complaints(path + ".storageClassName", name, is_dns1123_subdomain(name));
  }
  report.one_of(path + ".volumeMode", spec["volumeMode"], {"Block", "Filesystem"});
  for (const char* field : {"dataSource", "dataSourceRef"}) {
    const Value& source = spec[field];
    if (!source.is_object()) continue;
    if (source["name"].as_string().empty()) report.required(path + "." + field + ".name");
    if (source["kind"].as_string().empty()) report.required(path + "." + field + ".kind");
  }
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
  if (spec["accessModes"].empty()) {
    report.required("spec.accessModes");
  } else {
    validate_access_modes(report, "spec.accessModes", spec["accessModes"]);
  }
  if (spec["capacity"].empty()) report.required("spec.capacity");
  if (spec["capacity"]["storage"].is_null() || spec["capacity"].size() > 1) {
    report.add(Cause{"FieldValueNotSupported",
                     spec["capacity"].empty() ? "Unsupported value: core.ResourceList{}: supported values: \"storage\""
                                              : "Unsupported value: " + json::encode(spec["capacity"]) + ": supported values: \"storage\"",
                     "spec.capacity"});
  }
  for (auto [name, amount] : spec["capacity"].entries()) validate_positive(report, at_key("spec.capacity", name), amount);
  report.one_of("spec.persistentVolumeReclaimPolicy", spec["persistentVolumeReclaimPolicy"], {"Delete", "Recycle", "Retain"});
  if (spec["nodeAffinity"].is_object()) {
    if (!spec["nodeAffinity"]["required"].is_object()) {
      report.required("spec.nodeAffinity.required", "must specify required node constraints");
    } else {
      validate_node_selector(report, "spec.nodeAffinity.required", spec["nodeAffinity"]["required"]);
    }
  }
  validate_volume_source(report, spec);
  if (std::string_view name = spec["storageClassName"].as_string(); !name.empty()) {
    report.complaints("spec.storageClassName", name, is_dns1123_subdomain(name));
  }
  report.one_of("spec.volumeMode", spec["volumeMode"], {"Block", "Filesystem"});
}

void validate_volume_update(Report& report, const Value& before, const Value& after) {
  validate_metadata_update(report, before["metadata"], after["metadata"]);
  if (volume_source(before["spec"]) != volume_source(after["spec"])) report.forbidden("spec.persistentvolumesource", "spec.persistentvolumesource is immutable after creation");
  validate_immutable(report, "spec.volumeMode", before["spec"]["volumeMode"], after["spec"]["volumeMode"]);
}

void validate_storage_class(Report& report, const Value& object) {
  std::string_view provisioner = object["provisioner"].as_string();
  if (provisioner.empty()) {
    report.required("provisioner");
  } else {
    report.complaints("provisioner", provisioner, is_qualified_name(lower(provisioner)));
  }
  report.one_of("reclaimPolicy", object["reclaimPolicy"], {"Delete", "Retain"});
  if (object["volumeBindingMode"].is_null()) {
    report.required("volumeBindingMode");
  } else {
    report.one_of("volumeBindingMode", object["volumeBindingMode"], {"Immediate", "WaitForFirstConsumer"});
  }
}

void validate_storage_class_update(Report& report, const Value& before, const Value& after) {
  validate_metadata_update(report, before["metadata"], after["metadata"]);
  if (before["parameters"] != after["parameters"]) report.forbidden("parameters", "updates to parameters are forbidden.");
  if (before["provisioner"] != after["provisioner"]) report.forbidden("provisioner", "updates to provisioner are forbidden.");
  if (before["reclaimPolicy"] != after["reclaimPolicy"]) report.forbidden("reclaimPolicy", "updates to reclaimPolicy are forbidden.");
  validate_immutable(report, "volumeBindingMode", before["volumeBindingMode"], after["volumeBindingMode"]);
}

}  // namespace berth::validation
