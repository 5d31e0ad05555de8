#include "controllers/quota/controller.h"

#include "api/quota.h"
#include "controllers/quota/plan.h"

namespace berth::controllers::quota {
namespace {

namespace counting = api::quota;

class QuotaController final : public Controller {
 public:
  QuotaController(InformerSet& informers, const std::vector<api::Resource>& kinds)
      : quotas_(informers.get(api::resources::kResourceQuotas)) {
    for (const api::Resource& kind : kinds) kinds_.push_back(KindCache{kind, &informers.get(kind)});
  }
  std::string name() const override { return "resourcequota"; }
  std::string component() const override { return "resourcequota-controller"; }

  std::vector<WatchedCollection> watches() override {
    std::vector<WatchedCollection> out;
    out.push_back(watch_self(quotas_));
    for (const KindCache& kind : kinds_) {
      out.push_back(watch_mapped(*kind.informer,
                                 [this, resource = kind.resource](const Value& before, const Value& after, Keys& keys) {
                                   if (changes_usage(resource, before, after))
                                     add_quotas_of(resource, api::namespace_of(after.is_null() ? before : after), keys);
                                 }));
    }
    return out;
  }

  Plan plan(const std::string& key, Time now) override {
    const api::Name name = name_of_key(key);
    QuotaView view;
    view.quota = quotas_.get(name);
    if (view.quota.is_null()) return {};
    std::size_t counted = 0;
    const std::vector<std::string> hard = counting::names_of(view.quota["spec"]["hard"]);
    for (const KindCache& kind : kinds_) {
      if (counting::matching_resources(kind.resource, hard).empty()) continue;
      view.contents.push_back({kind.resource, kind.informer->list(name.ns)});
      counted += view.contents.back().items.size();
    }
    Plan plan = plan_quota(view, now);
    plan.members = counted;
    return plan;
  }

 private:
  struct KindCache {
    api::Resource resource;
    Informer* informer;
  };

  // True if a change can affect a count. Most changes of pods are status updates and do not.
  static bool changes_usage(const api::Resource& resource, const Value& before, const Value& after) {
    if (before.is_null() || after.is_null()) return true;
    if (resource == api::resources::kPods) {
      return before["status"]["phase"] != after["status"]["phase"] ||
             api::is_terminating(before) != api::is_terminating(after) || before["spec"] != after["spec"];
    }
    return counting::charges_updates(resource) &&
           (before["spec"] != after["spec"] || before["status"] != after["status"]);
  }

  void add_quotas_of(const api::Resource& resource, std::string_view ns, Keys& keys) const {
    for (const Value& quota : quotas_.list(ns)) {
      const std::vector<std::string> hard = counting::names_of(quota["spec"]["hard"]);
      if (!counting::matching_resources(resource, hard).empty()) keys.push_back(key_of(quota));
    }
  }

  Informer& quotas_;
  std::vector<KindCache> kinds_;
};

}  // namespace

std::unique_ptr<Controller> make_controller(InformerSet& informers, const std::vector<api::Resource>& kinds) {
  return std::make_unique<QuotaController>(informers, kinds);
}

}  // namespace berth::controllers::quota
