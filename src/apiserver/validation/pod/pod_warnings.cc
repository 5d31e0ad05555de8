// Warnings about fields of a pod that are accepted and have an unexpected effect, or none.
#include <algorithm>
#include <set>

#include "api/quantity.h"
#include "apiserver/validation/pod/pod_scope.h"
#include "apiserver/validation/validation.h"
#include "apiserver/validation/workload_warnings.h"
#include "base/text.h"

namespace berth::apiserver::validation {
namespace {

constexpr std::string_view kSeccompPod = "seccomp.security.alpha.kubernetes.io/pod";
constexpr std::string_view kSeccompContainer = "container.seccomp.security.alpha.kubernetes.io/";
constexpr std::string_view kAppArmorContainer = "container.apparmor.security.beta.kubernetes.io/";
constexpr std::string_view kRequired = "requiredDuringSchedulingIgnoredDuringExecution",
                           kPreferred = "preferredDuringSchedulingIgnoredDuringExecution";

void warn(Warnings& warnings, const Path& path, std::string_view text) {
  warnings.push_back(path.text() + ": " + std::string(text));
}

// --- Nodes

// The warning about a node label that has been renamed, or "".
std::string_view deprecated_label(std::string_view key) {
  static constexpr std::pair<std::string_view, std::string_view> kLabels[] = {
      {"beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead"},
      {"beta.kubernetes.io/instance-type", "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead"},
      {"beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead"},
      {"failure-domain.beta.kubernetes.io/region",
       "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead"},
      {"failure-domain.beta.kubernetes.io/zone", "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead"},
  };
  for (const auto& [label, text] : kLabels) {
    if (label == key) return text;
  }
  return {};
}

void warn_of_label(Warnings& warnings, const Path& path, std::string_view key) {
  if (const std::string_view text = deprecated_label(key); !text.empty())
    warn(warnings, path, std::string(key) + " is " + std::string(text));
}

void warn_of_node_term(Warnings& warnings, const Path& path, const Value& term, bool checks_values) {
  const Path expressions = path / "matchExpressions";
  std::size_t index = 0;
  for (const Value& expression : term["matchExpressions"]) {
    const Path here = expressions.at(index++), values = here / "values";
    warn_of_label(warnings, here / "key", expression["key"].as_string());
    if (!checks_values) continue;
    std::size_t value_index = 0;
    for (const Value& value : expression["values"]) {
      const Path one = values.at(value_index++);
      for (const std::string& text : is_label_value(value.as_string())) warn(warnings, one, text);
    }
  }
}

void warn_of_nodes(Warnings& warnings, const Path& path, const Value& spec) {
  const Path selector = path / "nodeSelector";
  for (json::Entry entry : spec["nodeSelector"].entries()) {
    if (const std::string_view text = deprecated_label(entry.key); !text.empty())
      warn(warnings, selector.key(entry.key), text);
  }
  const Value& affinity = spec["affinity"]["nodeAffinity"];
  const Path node = path / "affinity.nodeAffinity", required = node / kRequired, terms = required / "nodeSelectorTerms",
             preferred = node / kPreferred;
  std::size_t index = 0;
  for (const Value& term : affinity[kRequired]["nodeSelectorTerms"])
    warn_of_node_term(warnings, terms.at(index++), term, false);
  index = 0;
  for (const Value& term : affinity[kPreferred]) {
    const Path here = preferred.at(index++);
    warn_of_node_term(warnings, here / "preference", term["preference"], true);
  }
}

void warn_of_selectors(Warnings& warnings, const Path& path, const Value& spec) {
  constexpr std::string_view kNone = "a null labelSelector results in matching no pod";
  const Path constraints = path / "topologySpreadConstraints";
  std::size_t index = 0;
  for (const Value& constraint : spec["topologySpreadConstraints"]) {
    const Path here = constraints.at(index++);
    warn_of_label(warnings, here / "topologyKey", constraint["topologyKey"].as_string());
    if (constraint["labelSelector"].is_null()) warn(warnings, here / "labelSelector", kNone);
  }
  for (const char* side : {"podAffinity", "podAntiAffinity"}) {
    const Value& affinity = spec["affinity"][side];
    const Path both = path / "affinity", here = both / side, required = here / kRequired, preferred = here / kPreferred;
    index = 0;
    for (const Value& term : affinity[kRequired]) {
      const Path one = required.at(index++);
      if (term["labelSelector"].is_null()) warn(warnings, one / "labelSelector", kNone);
    }
    index = 0;
    for (const Value& term : affinity[kPreferred]) {
      const Path one = preferred.at(index++);
      if (term["podAffinityTerm"]["labelSelector"].is_null())
        warn(warnings, one / "podAffinityTerm.labelSelector", kNone);
    }
  }
}

// --- Volumes

struct Obsolete {
  const char *field, *shown, *text;
};
constexpr Obsolete kObsolete[] = {
    {"photonPersistentDisk", "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"},
    {"gitRepo", "gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"},
    {"scaleIO", "scaleIO", "deprecated in v1.16, non-functional in v1.22+"},
    {"flocker", "flocker", "deprecated in v1.22, non-functional in v1.25+"},
    {"storageos", "storageOS", "deprecated in v1.22, non-functional in v1.25+"},
    {"quobyte", "quobyte", "deprecated in v1.22, non-functional in v1.25+"},
    {"glusterfs", "glusterfs", "deprecated in v1.25, non-functional in v1.26+"},
    {"cephfs", "cephfs", "deprecated in v1.28, non-functional in v1.31+"},
    {"rbd", "rbd", "deprecated in v1.28, non-functional in v1.31+"},
};

// The files of one volume, each with its source; warns of files that overlap.
class Files {
 public:
  Files(Warnings& warnings, std::string volume) : warnings_(warnings), volume_(std::move(volume)) {}
  void add(std::string_view path, const std::string& source) {
    while (path.ends_with('/')) path.remove_suffix(1);
    const std::string inside = std::string(path) + "/";
    for (const auto& [other, of] : seen_) {
      if (path.empty() || other.empty()) continue;
      const std::string in_other = std::string(other) + "/";
      if (!in_other.starts_with(inside) && !inside.starts_with(in_other)) continue;
      warnings_.push_back(volume_ + ": overlapping paths: " + shown(path, source) + " with " + shown(other, of));
    }
    seen_.emplace_back(path, source);
  }
  void add_items(const Value& items, const std::string& source) {
    for (const Value& item : items) add(item["path"].as_string(), source);
  }

 private:
  static std::string shown(std::string_view path, const std::string& source) {
    return source.empty() ? quoted(path) : quoted(path) + " (" + source + ")";
  }
  Warnings& warnings_;
  std::string volume_;
  std::vector<std::pair<std::string_view, std::string>> seen_;
};

void warn_of_projected(Warnings& warnings, const std::string& named, const Value& projected) {
  Files files(warnings, named + " (Projected)");
  for (const Value& source : projected["sources"]) {
    if (source.empty()) {
      warnings.push_back(named + " (Projected) has no sources provided");
      continue;
    }
    files.add_items(source["configMap"]["items"], "ConfigMap " + quoted(source["configMap"]["name"].as_string()));
    files.add_items(source["secret"]["items"], "Secret " + quoted(source["secret"]["name"].as_string()));
    files.add_items(source["downwardAPI"]["items"], "DownwardAPI");
    if (source["serviceAccountToken"].is_object())
      files.add(source["serviceAccountToken"]["path"].as_string(), "ServiceAccountToken");
  }
}

void warn_of_volumes(Warnings& warnings, const Path& path, const Value& spec) {
  const Path volumes = path / "volumes";
  std::size_t index = 0;
  for (const Value& volume : spec["volumes"]) {
    const Path here = volumes.at(index++);
    for (const Obsolete& kind : kObsolete) {
      if (!volume[kind.field].is_null()) warn(warnings, here / kind.shown, kind.text);
    }
    if (const Value& claim = volume["ephemeral"]["volumeClaimTemplate"]; claim.is_object()) {
      warn_of_claim_spec(warnings, here / "ephemeral.volumeClaimTemplate.spec", claim["spec"]);
    }
  }
  for (const Value& volume : spec["volumes"]) {
    const std::string named = "volume " + quoted(volume["name"].as_string());
    if (const Value& map = volume["configMap"]; !map["items"].is_null()) {
      Files(warnings, named + " (ConfigMap " + quoted(map["name"].as_string()) + ")").add_items(map["items"], "");
    }
    if (const Value& secret = volume["secret"]; !secret["items"].is_null()) {
      Files(warnings, named + " (Secret " + quoted(secret["secretName"].as_string()) + ")")
          .add_items(secret["items"], "");
    }
    if (const Value& downward = volume["downwardAPI"]; !downward["items"].is_null())
      Files(warnings, named + " (DownwardAPI)").add_items(downward["items"], "");
    if (volume["projected"].is_object()) warn_of_projected(warnings, named, volume["projected"]);
  }
}

// --- Containers

void warn_of_fraction(Warnings& warnings, const Path& path, const Value& amounts, std::string_view resource) {
  const Value* given = amounts.find(resource);
  if (given == nullptr) return;
  const Result<api::Quantity> amount = api::Quantity::parse(given->as_string());
  if (!amount.ok() || amount->milli_value() % 1000 == 0) return;
  warn(warnings, path.key(resource),
       "fractional byte value " + quoted(amount->to_string()) + " is invalid, must be an integer");
}

void warn_of_env(Warnings& warnings, const Path& path, const Value& env) {
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < env.size(); ++i) {
    const std::string_view name = env[i]["name"].as_string();
    if (names.insert(name).second) continue;
    // A value that refers to the variable before it does not hide that one.
    const std::string reference = "$(" + std::string(name) + ")";
    const std::string_view value = env[i]["value"].as_string();
    if (env[i]["valueFrom"].is_null() && value != reference && value.find(reference) != std::string_view::npos)
      continue;
    warn(warnings, path.at(i),
         "hides previous definition of " + quoted(name) + ", which may be dropped when using apply");
  }
}

void warn_of_container(Warnings& warnings, const Path& path, const Path& annotations_path, const Value& container,
                       const Value& annotations, const Value& of_pod, bool is_template) {
  const Value& own = container["securityContext"];
  const std::string name = container["name"].str();
  if (!annotations.empty()) {
    const std::string seccomp = std::string(kSeccompContainer) + name,
                      apparmor = std::string(kAppArmorContainer) + name;
    if (own["seccompProfile"].is_null() && annotations.contains(seccomp)) {
      warn(warnings, annotations_path.key(seccomp),
           "non-functional in v1.27+; use the \"seccompProfile\" field instead");
    }
    if (is_template && own["appArmorProfile"].is_null() && of_pod["appArmorProfile"].is_null() &&
        annotations.contains(apparmor)) {
      warn(warnings, annotations_path.key(apparmor),
           "deprecated since v1.30; use the \"appArmorProfile\" field instead");
    }
  }
  const Path resources = path / "resources";
  for (const char* resource : {"memory", "ephemeral-storage"}) {
    for (const char* list : {"limits", "requests"})
      warn_of_fraction(warnings, resources / list, container["resources"][list], resource);
  }
  warn_of_env(warnings, path / "env", container["env"]);
}

std::string shown_port(const Value& port) {
  return "{Name:" + port["name"].str() + " HostPort:" + std::to_string(port["hostPort"].as_int()) +
         " ContainerPort:" + std::to_string(port["containerPort"].as_int()) + " Protocol:" + port["protocol"].str() +
         " HostIP:" + port["hostIP"].str() + "}";
}

// The warning about two uses of one container port and protocol, or "".
std::string_view clash(const Value& port, const Value& other) {
  const std::int64_t host = port["hostPort"].as_int(), other_host = other["hostPort"].as_int();
  const std::string_view ip = port["hostIP"].as_string(), other_ip = other["hostIP"].as_string();
  if (ip == other_ip && host == other_host) return "duplicate port definition with ";
  if (host == 0 || other_host == 0) return "overlapping port definition with ";
  if (host == other_host && ip.empty() != other_ip.empty()) return "dangerously ambiguous port definition with ";
  return {};
}

void warn_of_ports(Warnings& warnings, const Path& path, const Value& spec) {
  struct Seen {
    std::string path;
    const Value* port;
  };
  std::vector<Seen> seen;
  each_container(spec, path, [&](const Value& container, const Path& here) {
    const Path ports = here / "ports";
    std::size_t index = 0;
    for (const Value& port : container["ports"]) {
      const Path one = ports.at(index++);
      if (!port["hostIP"].as_string().empty() && port["hostPort"].as_int() == 0)
        warn(warnings, one, "hostIP set without hostPort: " + shown_port(port));
      for (const Seen& other : seen) {
        if ((*other.port)["containerPort"] != port["containerPort"] || (*other.port)["protocol"] != port["protocol"])
          continue;
        if (const std::string_view how = clash(port, *other.port); !how.empty())
          warn(warnings, one, std::string(how) + other.path);
      }
      seen.push_back({one.text(), &port});
    }
  });
}

// --- Lists whose elements should differ

void warn_of_lists(Warnings& warnings, const Path& path, const Value& spec) {
  const Value &aliases = spec["hostAliases"], &secrets = spec["imagePullSecrets"];
  const Path alias_path = path / "hostAliases", secret_path = path / "imagePullSecrets";
  std::set<std::string_view> seen;
  for (std::size_t i = 0; i < aliases.size(); ++i) {
    const std::string_view ip = aliases[i]["ip"].as_string();
    const Path here = alias_path.at(i);
    if (!seen.insert(ip).second) warn(warnings, here / "ip", "duplicate ip " + quoted(ip));
  }
  seen.clear();
  for (std::size_t i = 0; i < secrets.size(); ++i) {
    const std::string_view name = secrets[i]["name"].as_string();
    const Path here = secret_path.at(i);
    if (!seen.insert(name).second) warn(warnings, here / "name", "duplicate name " + quoted(name));
  }
  for (std::size_t i = 0; i < secrets.size(); ++i) {
    const Path here = secret_path.at(i);
    if (secrets[i]["name"].as_string().empty()) warn(warnings, here / "name", "invalid empty name \"\"");
  }
}

void warn_of_annotations(Warnings& warnings, const Path& path, const Value& annotations, const Value& spec) {
  if (annotations.empty()) return;
  static constexpr std::pair<std::string_view, std::string_view> kDead[] = {
      {"scheduler.alpha.kubernetes.io/critical-pod",
       "non-functional in v1.16+; use the \"priorityClassName\" field instead"},
      {"security.alpha.kubernetes.io/sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"},
      {"security.alpha.kubernetes.io/unsafe-sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"},
  };
  for (const auto& [key, text] : kDead) {
    if (annotations.contains(key)) warn(warnings, path.key(key), text);
  }
  if (spec["securityContext"]["seccompProfile"].is_null() && annotations.contains(kSeccompPod)) {
    warn(warnings, path.key(kSeccompPod), "non-functional in v1.27+; use the \"seccompProfile\" field instead");
  }
}

}  // namespace

void warn_of_claim_spec(Warnings& warnings, const Path& path, const Value& spec) {
  const Path resources = path / "resources";
  warn_of_fraction(warnings, resources / "requests", spec["resources"]["requests"], "storage");
}

void warn_of_pod_spec(Warnings& warnings, const Path& spec_path, const Path& metadata_path, const Value& spec,
                      const Value& metadata, bool is_template) {
  const Path annotations_path = metadata_path / "annotations";
  const Value& annotations = metadata["annotations"];
  warn_of_nodes(warnings, spec_path, spec);
  warn_of_selectors(warnings, spec_path, spec);
  warn_of_annotations(warnings, annotations_path, annotations, spec);
  warn_of_volumes(warnings, spec_path, spec);
  warn_of_lists(warnings, spec_path, spec);
  const Path overhead = spec_path / "overhead";
  for (const char* resource : {"memory", "ephemeral-storage"})
    warn_of_fraction(warnings, overhead, spec["overhead"], resource);
  each_container(spec, spec_path, [&](const Value& container, const Path& here) {
    warn_of_container(warnings, here, annotations_path, container, annotations, spec["securityContext"], is_template);
  });
  warn_of_ports(warnings, spec_path, spec);
  if (spec["terminationGracePeriodSeconds"].as_int() < 0) {
    warn(warnings, spec_path / "terminationGracePeriodSeconds",
         "must be >= 0; negative values are invalid and will be treated as 1");
  }
}

}  // namespace berth::apiserver::validation
