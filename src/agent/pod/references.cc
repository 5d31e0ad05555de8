#include "agent/pod/references.h"

#include "agent/pod/container_lists.h"
#include "client/client.h"

namespace berth::agent {

std::set<std::pair<api::Resource, api::Name>> references_of(const Value& pod) {
  std::set<std::pair<api::Resource, api::Name>> out;
  std::string ns(api::namespace_of(pod));
  auto add = [&](const api::Resource& resource, const Value& name) {
    if (!name.as_string().empty()) out.insert({resource, api::Name{ns, name.str()}});
  };
  const Value& spec = pod["spec"];
  for (const Value& volume : spec["volumes"]) {
    add(api::resources::kConfigMaps, volume["configMap"]["name"]);
    add(api::resources::kSecrets, volume["secret"]["secretName"]);
    for (const Value& source : volume["projected"]["sources"]) {
      add(api::resources::kConfigMaps, source["configMap"]["name"]);
      add(api::resources::kSecrets, source["secret"]["name"]);
    }
  }
  for (const char* field : kContainerLists) {
    for (const Value& container : spec[field]) {
      for (const Value& from : container["envFrom"]) {
        add(api::resources::kConfigMaps, from["configMapRef"]["name"]);
        add(api::resources::kSecrets, from["secretRef"]["name"]);
      }
      for (const Value& variable : container["env"]) {
        add(api::resources::kConfigMaps, variable["valueFrom"]["configMapKeyRef"]["name"]);
        add(api::resources::kSecrets, variable["valueFrom"]["secretKeyRef"]["name"]);
      }
    }
  }
  for (const Value& secret : spec["imagePullSecrets"]) add(api::resources::kSecrets, secret["name"]);
  return out;
}

}  // namespace berth::agent
