#include "controllers/shared/local_volume.h"

#include <algorithm>

#include "api/metadata.h"
#include "api/object.h"
#include "api/quantity.h"
#include "base/text.h"
#include "controllers/shared/volume_match.h"

namespace berth::controllers {
namespace {

constexpr std::string_view kHostname = "kubernetes.io/hostname";

// Manifests written for a cloud work unchanged.
constexpr std::string_view kServed[] = {
    kLocalDriver,
    "pd.csi.storage.gke.io",
    "ebs.csi.aws.com",
    "disk.csi.azure.com",
    "file.csi.azure.com",
    "efs.csi.aws.com",
    "filestore.csi.storage.gke.io",
    "cinder.csi.openstack.org",
    "csi.vsphere.vmware.com",
    "dobs.csi.digitalocean.com",
    "csi.hetzner.cloud",
    "linodebs.csi.linode.com",
    "block.csi.vultr.com",
    "csi.scaleway.com",
    "csi.exoscale.com",
    "blockvolume.csi.oraclecloud.com",
    "vpc.block.csi.ibm.io",
    "diskplugin.csi.alibabacloud.com",
    "kubernetes.io/gce-pd",
    "kubernetes.io/aws-ebs",
    "kubernetes.io/azure-disk",
    "kubernetes.io/azure-file",
    "kubernetes.io/cinder",
    "kubernetes.io/vsphere-volume",
    "kubernetes.io/host-path",
    "k8s.io/minikube-hostpath",
    "rancher.io/local-path",
    "docker.io/hostpath",
    "microk8s.io/hostpath",
    "hostpath.csi.k8s.io",
    "driver.longhorn.io",
    "openebs.io/local",
    "local.csi.openebs.io",
    "topolvm.io",
};

Error unsupported(std::string what) { return error(Code::kInvalid, std::move(what)); }

// The requested size as the claim spells it, unless that is below the smallest possible volume.
std::string made_size(const Value& asked, std::string_view file_system) {
  const std::int64_t least = min_volume_size(file_system);
  const auto size = api::Quantity::parse(asked.as_string());
  if (!size.ok() || *size >= api::Quantity::of(least)) return asked.str();
  return api::Quantity::of(least, api::Quantity::Format::kBinarySI).to_string();
}

}  // namespace

bool is_local(const Value& volume) { return volume["spec"]["csi"]["driver"].as_string() == kLocalDriver; }

std::string_view local_node(const Value& volume) {
  for (const Value& term : volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]) {
    for (const Value& expression : term["matchExpressions"]) {
      if (expression["key"].as_string() == kHostname && expression["values"].size() == 1)
        return expression["values"][0].as_string();
    }
  }
  return {};
}

bool disk_may_go(const Value& volume) {
  return is_local(volume) && api::is_terminating(volume) && api::has_finalizer(volume, kLocalFinalizer) &&
         !api::has_finalizer(volume, kVolumeProtection) && volume["status"]["phase"].as_string() != "Bound";
}

bool disk_is_deleted(const Value& volume) {
  return disk_may_go(volume) && volume["spec"]["persistentVolumeReclaimPolicy"].as_string() == "Delete";
}

bool is_served_provisioner(std::string_view provisioner) {
  return std::find(std::begin(kServed), std::end(kServed), provisioner) != std::end(kServed);
}

std::string volume_name(const Value& claim) { return "pvc-" + std::string(api::uid_of(claim)); }

std::int64_t min_volume_size(std::string_view file_system) { return file_system == "xfs" ? 300 << 20 : 4 << 20; }

Result<Value> make_local_volume(const Value& claim, const Value& storage_class, const Value& node) {
  const Value& spec = claim["spec"];
  if (!spec["selector"].is_null()) return unsupported("claim.Spec.Selector is not supported");
  if (mode_of(claim) != "Filesystem")
    return unsupported("berth.dev/local makes volumes of volumeMode Filesystem, not " + std::string(mode_of(claim)));
  if (!spec["dataSource"].is_null() || !spec["dataSourceRef"].is_null()) {
    return unsupported("berth.dev/local makes empty volumes; dataSource is not supported");
  }
  const Value& parameters = storage_class["parameters"];
  std::string file_system = "ext4";
  bool overcommit = false;
  for (const auto& [key, value] : parameters.entries()) {
    if (key == kOvercommit) {
      if (value.as_string() != "true" && value.as_string() != "false") {
        return unsupported("parameter " + std::string(kOvercommit) +
                           " of the StorageClass must be \"true\" or \"false\", not " + quoted(value.as_string()));
      }
      overcommit = value.as_string() == "true";
    }
    if (key == "csi.storage.k8s.io/fstype" || key == "fsType" || key == "fstype") file_system = value.as_string();
  }
  if (file_system != "ext4" && file_system != "xfs") file_system = "ext4";
  const std::string name = volume_name(claim);
  const std::string_view host = api::label_of(node, kHostname);
  Value affinity = Value::object(
      {{"key", kHostname}, {"operator", "In"}, {"values", Value::array({host.empty() ? api::name_of(node) : host})}});
  Value term = Value::object({{"matchExpressions", Value::array({affinity})}});
  Value volume = Value::object(
      {{"apiVersion", "v1"},
       {"kind", "PersistentVolume"},
       {"metadata", Value::object({{"name", name},
                                   {"annotations", Value::object({{kProvisionedBy, kLocalDriver}})},
                                   {"finalizers", Value::array({kVolumeProtection, kLocalFinalizer})}})}});
  Value& out = volume.mut("spec");
  out.set("capacity", Value::object({{"storage", made_size(spec["resources"]["requests"]["storage"], file_system)}}));
  out.set("accessModes", spec["accessModes"]);
  out.set("persistentVolumeReclaimPolicy", storage_class["reclaimPolicy"].as_string("Delete"));
  out.set("storageClassName", api::name_of(storage_class));
  out.set("volumeMode", "Filesystem");
  // The volume must match its claim again if binding is interrupted.
  if (!spec["volumeAttributesClassName"].is_null())
    out.set("volumeAttributesClassName", spec["volumeAttributesClassName"]);
  if (!storage_class["mountOptions"].empty()) out.set("mountOptions", storage_class["mountOptions"]);
  Value csi = Value::object({{"driver", kLocalDriver}, {"volumeHandle", name}, {"fsType", file_system}});
  if (overcommit) csi.set("volumeAttributes", Value::object({{kOvercommit, "true"}}));
  out.set("csi", std::move(csi));
  out.set("nodeAffinity", Value::object({{"required", Value::object({{"nodeSelectorTerms", Value::array({term})}})}}));
  out.set("claimRef", Value::object({{"apiVersion", "v1"},
                                     {"kind", "PersistentVolumeClaim"},
                                     {"namespace", api::namespace_of(claim)},
                                     {"name", api::name_of(claim)},
                                     {"uid", api::uid_of(claim)},
                                     {"resourceVersion", api::resource_version_of(claim)}}));
  return volume;
}

}  // namespace berth::controllers
