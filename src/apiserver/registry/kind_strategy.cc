#include "apiserver/registry/kind_strategy.h"

#include <algorithm>

#include "api/schema/kind_map.h"
#include "base/check.h"

namespace berth::apiserver::registry {
namespace {

KindStrategy row_of(const api::schema::Kind& kind) {
  for (std::span<const KindStrategy> rows : kind_rows()) {
    for (const KindStrategy& row : rows) {
      const bool version = row.version.empty() || row.version == kind.version;
      if (row.group == kind.group && row.kind == kind.kind && version) return row;
    }
  }
  return {kind.group, kind.kind};
}

KindStrategy complete_strategy(const api::schema::Kind& kind) {
  KindStrategy out = row_of(kind);
  out.storage_kind = &kind;
  if (out.conversion != nullptr) {
    out.storage_kind = api::schema::builtin().find_kind(out.conversion->api_version, out.conversion->kind);
    BERTH_CHECK(out.storage_kind != nullptr, "a kind is stored as one that the schema does not have");
  }
  const std::string& group = out.storage_kind->group;
  out.key_prefix = "/registry/" + (group.empty() ? "core" : group) + "/" + kind.plural + "/";
  return out;
}

}  // namespace

std::vector<std::span<const KindStrategy>> kind_rows() {
  return {account_rows(), autoscaler_rows(), cluster_rows(), event_rows(),   job_rows(),
          pod_rows(),     policy_rows(),     service_rows(), storage_rows(), workload_rows()};
}

const KindStrategy& strategy_of(const api::schema::Kind& kind) {
  static const api::schema::KindMap<KindStrategy> kStrategies(api::schema::builtin(), complete_strategy);
  const KindStrategy* found = kStrategies.find(kind);
  BERTH_CHECK(found != nullptr, "a kind that is not of the built-in schema");
  return *found;
}

const SubresourceStrategy* KindStrategy::subresource(std::string_view name) const {
  const auto found =
      std::find_if(subresources.begin(), subresources.end(), [&](const auto& s) { return s.name == name; });
  return found == subresources.end() ? nullptr : &*found;
}

}  // namespace berth::apiserver::registry
