#pragma once
// CachedView: the cluster as the informers' caches show it.

#include <set>
#include <string>
#include <vector>

#include "client/informer.h"
#include "scheduler/filter/filter.h"

namespace berth::scheduler {

class CachedView final : public ClusterView {
 public:
  explicit CachedView(client::InformerSet& informers);

  // All must be synced before the first decision.
  std::vector<client::Informer*> informers() const;

  const Value& claim(const std::string& ns, const std::string& name) const override {
    return claims.get(api::Name{ns, name});
  }
  const Value& volume(const std::string& name) const override { return volumes.get(api::Name{"", name}); }
  const Value& storage_class(const std::string& name) const override { return classes.get(api::Name{"", name}); }
  std::vector<Value> candidates(const Value& claim) const override;
  bool is_volume_used(const Value& volume) const override {
    return reserved_volumes.count(std::string(api::name_of(volume))) > 0;
  }
  const Value& pod(const std::string& ns, const std::string& name) const override {
    return pods.get(api::Name{ns, name});
  }
  const Value& ns(const std::string& name) const override { return namespaces_.get(api::Name{"", name}); }
  std::vector<Value> namespaces() const override { return namespaces_.list(); }
  std::vector<Value> services(const std::string& ns) const override;
  const Value& owner_selector(const PodInfo& pod) const override;
  std::vector<Value> budgets() const override { return budgets_.list(); }
  Time now() const override { return runtime_.now(); }

  client::Informer& pods;
  client::Informer& nodes;
  client::Informer& claims;
  client::Informer& volumes;
  client::Informer& classes;
  std::set<std::string> reserved_volumes;  // by name: volumes of bindings in flight

 private:
  Runtime& runtime_;
  client::Informer& namespaces_;
  client::Informer& services_;
  client::Informer& replica_sets_;
  client::Informer& stateful_sets_;
  client::Informer& budgets_;
};

}  // namespace berth::scheduler
