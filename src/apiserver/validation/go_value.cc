#include "apiserver/validation/go_value.h"

#include <algorithm>
#include <cctype>
#include <vector>

#include "api/schema/schema.h"
#include "base/line_diff.h"

namespace berth::apiserver::validation {
namespace {

using api::schema::Field;
using api::schema::Shape;
using api::schema::Type;

constexpr std::string_view kMeta = "io.k8s.apimachinery.pkg.apis.meta.v1.";

// --- Where the internal types are not the JSON names with a capital, in the order of the schema.

struct Name {
  std::string_view json, go;
};
constexpr Name kNames[] = {
    {"apiGroup", "APIGroup"},
    {"apiVersion", "APIVersion"},
    {"awsElasticBlockStore", "AWSElasticBlockStore"},
    {"cephfs", "CephFS"},
    {"csi", "CSI"},
    {"dnsConfig", "DNSConfig"},
    {"dnsPolicy", "DNSPolicy"},
    {"fc", "FC"},
    {"fsGroup", "FSGroup"},
    {"fsGroupChangePolicy", "FSGroupChangePolicy"},
    {"fsType", "FSType"},
    {"gcePersistentDisk", "GCEPersistentDisk"},
    {"gmsaCredentialSpec", "GMSACredentialSpec"},
    {"gmsaCredentialSpecName", "GMSACredentialSpecName"},
    {"grpc", "GRPC"},
    {"httpGet", "HTTPGet"},
    {"httpHeaders", "HTTPHeaders"},
    {"ip", "IP"},
    {"iqn", "IQN"},
    {"iscsi", "ISCSI"},
    {"iscsiInterface", "ISCSIInterface"},
    {"nfs", "NFS"},
    {"os", "OS"},
    {"pdName", "PDName"},
    {"rbd", "RBD"},
    {"seLinuxChangePolicy", "SELinuxChangePolicy"},
    {"seLinuxOptions", "SELinuxOptions"},
    {"sslEnabled", "SSLEnabled"},
    {"storageos", "StorageOS"},
    {"tcpSocket", "TCPSocket"},
    {"tty", "TTY"},
    {"uid", "UID"},
    {"wwids", "WWIDs"},
};
struct TypeName {
  std::string_view type, json, go;  // `type`: how the type's name begins, behind its package
};
constexpr TypeName kTypeNames[] = {
    {"AzureDisk", "diskURI", "DataDiskURI"},
    {"Glusterfs", "endpoints", "EndpointsName"},
    {"ISCSI", "chapAuthDiscovery", "DiscoveryCHAPAuth"},
    {"ISCSI", "chapAuthSession", "SessionCHAPAuth"},
    {"RBD", "monitors", "CephMonitors"},
    {"RBD", "image", "RBDImage"},
    {"RBD", "pool", "RBDPool"},
    {"RBD", "user", "RadosUser"},
};
struct Order {
  std::string_view type;
  std::vector<std::string_view> fields;
};
const std::vector<Order>& orders() {
  static const std::vector<Order> kOrders = {
      {"PodSpec",
       {"volumes",
        "initContainers",
        "containers",
        "ephemeralContainers",
        "restartPolicy",
        "terminationGracePeriodSeconds",
        "activeDeadlineSeconds",
        "dnsPolicy",
        "nodeSelector",
        "serviceAccountName",
        "automountServiceAccountToken",
        "nodeName",
        "securityContext",
        "imagePullSecrets",
        "hostname",
        "subdomain",
        "setHostnameAsFQDN",
        "affinity",
        "schedulerName",
        "tolerations",
        "hostAliases",
        "priorityClassName",
        "priority",
        "preemptionPolicy",
        "dnsConfig",
        "readinessGates",
        "runtimeClassName",
        "overhead",
        "enableServiceLinks",
        "topologySpreadConstraints",
        "os",
        "schedulingGates",
        "resourceClaims",
        "resources",
        "hostnameOverride",
        "schedulingGroup"}},
      {"PodSecurityContext",
       {"seLinuxOptions", "windowsOptions", "runAsUser", "runAsGroup", "runAsNonRoot", "supplementalGroups",
        "supplementalGroupsPolicy", "fsGroup", "fsGroupChangePolicy", "sysctls", "seccompProfile", "appArmorProfile",
        "seLinuxChangePolicy"}},
      {"Volume",
       {"name",
        "hostPath",
        "emptyDir",
        "gcePersistentDisk",
        "awsElasticBlockStore",
        "gitRepo",
        "secret",
        "nfs",
        "iscsi",
        "glusterfs",
        "persistentVolumeClaim",
        "rbd",
        "quobyte",
        "flexVolume",
        "cinder",
        "cephfs",
        "flocker",
        "downwardAPI",
        "fc",
        "azureFile",
        "configMap",
        "vsphereVolume",
        "azureDisk",
        "photonPersistentDisk",
        "projected",
        "portworxVolume",
        "scaleIO",
        "storageos",
        "csi",
        "ephemeral",
        "image"}},
      // Its sources alone, a type of their own inside.
      {"PersistentVolumeSpec",
       {"gcePersistentDisk",
        "awsElasticBlockStore",
        "hostPath",
        "glusterfs",
        "nfs",
        "rbd",
        "quobyte",
        "iscsi",
        "flexVolume",
        "cinder",
        "cephfs",
        "fc",
        "flocker",
        "azureFile",
        "vsphereVolume",
        "azureDisk",
        "photonPersistentDisk",
        "portworxVolume",
        "scaleIO",
        "local",
        "storageos",
        "csi"}},
      {"PersistentVolumeClaimSpec",
       {"accessModes", "selector", "resources", "volumeName", "storageClassName", "volumeMode", "dataSource",
        "dataSourceRef", "volumeAttributesClassName"}},
  };
  return kOrders;
}
// These are of a pod for clients, and of its security context inside.
constexpr std::string_view kHostFields[] = {"hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "hostUsers"};

std::string_view short_name(const Type& type) { return std::string_view(type.name).substr(type.name.rfind('.') + 1); }

std::string go_name(const Type& type, std::string_view json) {
  for (const TypeName& name : kTypeNames) {
    if (name.json == json && short_name(type).starts_with(name.type)) return std::string(name.go);
  }
  for (const Name& name : kNames) {
    if (name.json == json) return std::string(name.go);
  }
  std::string name(json);
  name[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(name[0])));
  return name;
}

std::vector<const Field*> in_order(const Type& type, bool internal) {
  std::vector<const Field*> fields;
  if (internal) {
    for (const Order& order : orders()) {
      if (order.type != short_name(type)) continue;
      for (std::string_view name : order.fields) {
        if (const Field* field = type.find(name)) fields.push_back(field);
      }
      return fields;
    }
  }
  for (const Field& field : type.fields) fields.push_back(&field);
  return fields;
}

// --- Writing

class Writer {
 public:
  explicit Writer(bool internal) : internal_(internal) {}

  void object(const Value& value, const Type& type) {
    const bool internal = internal_ && !type.name.starts_with(kMeta);
    out.push_back('{');
    members(value, type, internal);
    out.push_back('}');
  }

  std::string out;

 private:
  void member(std::string_view name) {
    if (out.back() != '{') out.push_back(',');
    json::append_string(name, out);
    out.push_back(':');
  }
  void members(const Value& value, const Type& type, bool internal) {
    for (const Field* field : in_order(type, internal)) {
      const Value& found = value[field->name];
      const bool metadata = internal && field->name == "metadata" && field->type != nullptr;
      if (metadata) {  // embedded, so its members stand here
        members(found, *field->type, false);
        continue;
      }
      if (!internal && field->omit_empty && left_out(found, *field)) continue;
      member(internal ? go_name(type, field->name) : field->name);
      if (internal && field->name == "securityContext" && short_name(type) == "PodSpec") {
        pod_security_context(found, value, *field, type);
      } else {
        write(found, *field);
      }
    }
  }
  // What Go's omitempty leaves out.
  static bool left_out(const Value& value, const Field& field) {
    if (value.is_null()) return true;
    if (field.pointer) return false;
    if (field.shape == Shape::kList || field.shape == Shape::kMap) return value.empty();
    return value.is_string() && value.as_string().empty();
  }
  void pod_security_context(const Value& context, const Value& spec, const Field& field, const Type& pod_spec) {
    out.push_back('{');
    for (std::string_view name : kHostFields) {
      const Field* host = pod_spec.find(name);
      if (host == nullptr) continue;
      member(go_name(pod_spec, name));
      write(spec[name], *host);
    }
    members(context, *field.type, true);
    out.push_back('}');
  }
  void write(const Value& value, const Field& field) {
    if (!value.is_null() && field.shape == Shape::kObject) return object(value, *field.type);
    if (!value.is_null() && field.shape == Shape::kList) {
      out.push_back('[');
      for (std::size_t i = 0; i < value.size(); ++i) {
        if (i > 0) out.push_back(',');
        write(value[i], *field.element);
      }
      out.push_back(']');
      return;
    }
    if (!value.is_null()) return json::encode_to(value, out);
    if (field.pointer) {
      out.append("null");
      return;
    }
    switch (field.shape) {
      case Shape::kString: out.append("\"\""); break;
      case Shape::kBool: out.append("false"); break;
      case Shape::kObject: object(value, *field.type); break;
      case Shape::kInt32:
      case Shape::kInt64:
      case Shape::kIntOrString:
      case Shape::kDouble: out.push_back('0'); break;
      case Shape::kQuantity: out.append("\"0\""); break;
      default: out.append("null"); break;
    }
  }

  bool internal_;
};

std::string shown(const Value& value, std::string_view type_name, bool internal) {
  const Type* type = api::schema::builtin().find_type(type_name);
  if (type == nullptr || value.is_null()) return json::encode(value);
  Writer writer(internal);
  writer.object(value, *type);
  return std::move(writer.out);
}

// Compact JSON over several lines, a space more for each level, as Go indents it.
std::string indented(std::string_view text) {
  std::string out;
  std::size_t depth = 0;
  auto line = [&] { out.append("\n").append(depth, ' '); };
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"') {
      const std::size_t start = i++;
      while (text[i] != '"') i += text[i] == '\\' ? 2 : 1;
      out.append(text.substr(start, i + 1 - start));
    } else if ((c == '{' || c == '[') && text[i + 1] == (c == '{' ? '}' : ']')) {
      out.append(text.substr(i++, 2));
    } else if (c == '{' || c == '[') {
      out.push_back(c);
      ++depth;
      line();
    } else if (c == '}' || c == ']') {
      --depth;
      line();
      out.push_back(c);
    } else {
      out.push_back(c);
      if (c == ',') line();
      if (c == ':') out.push_back(' ');
    }
  }
  return out;
}

}  // namespace

std::string shown_as_go(const Value& value, std::string_view type) { return shown(value, type, true); }
std::string shown_selector(const Value& selector) {
  return shown(selector, "io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector", false);
}

std::string go_diff(const Value& before, const Value& after, std::string_view type) {
  return line_diff(indented(shown_as_go(before, type)), indented(shown_as_go(after, type)));
}

}  // namespace berth::apiserver::validation
