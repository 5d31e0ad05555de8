#include "controllers/serviceaccount/controller.h"

namespace berth::controllers::serviceaccount {
namespace {

using namespace api::resources;  // NOLINT

constexpr std::string_view kAccount = "default";
constexpr std::string_view kRootCa = "kube-root-ca.crt";
constexpr std::string_view kDescription =
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP "
    "or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.";

bool needs_objects(const Value& ns) {
  return !ns.is_null() && !api::is_terminating(ns) && ns["status"]["phase"].as_string() != "Terminating";
}

Value named(const char* kind, const Value& ns, std::string_view name) {
  return Value::object({{"apiVersion", "v1"},
                        {"kind", kind},
                        {"metadata", Value::object({{"name", name}, {"namespace", api::name_of(ns)}})}});
}

// Watches namespaces and the one object of each that it restores.
class NamespaceObjectController final : public Controller {
 public:
  NamespaceObjectController(InformerSet& informers, bool accounts, std::string ca)
      : accounts_(accounts),
        ca_(std::move(ca)),
        namespaces_(informers.get(kNamespaces)),
        objects_(informers.get(accounts ? kServiceAccounts : kConfigMaps)) {}
  std::string name() const override { return accounts_ ? "serviceaccount" : "root-ca-publisher"; }
  std::string component() const override {
    return accounts_ ? "service-account-controller" : "root-ca-certificate-publisher";
  }

  std::vector<WatchedCollection> watches() override {
    std::vector<WatchedCollection> out;
    out.push_back(watch_mapped(namespaces_, [](const Value& before, const Value& after, Keys& keys) {
      if (before.is_null() && needs_objects(after)) keys.emplace_back(api::name_of(after));
    }));
    out.push_back(watch_mapped(objects_, [this](const Value& before, const Value& after, Keys& keys) {
      const Value& object = after.is_null() ? before : after;
      if (api::name_of(object) != object_name() || before.is_null()) return;
      if (after.is_null() || !accounts_) keys.emplace_back(api::namespace_of(object));
    }));
    return out;
  }

  Plan plan(const std::string& key, Time) override {
    const Value& ns = namespaces_.get("", key);
    const Value& found = objects_.get(key, object_name());
    return accounts_ ? plan_account(ns, found) : plan_root_ca(ns, found, ca_);
  }

 private:
  std::string_view object_name() const { return accounts_ ? kAccount : kRootCa; }
  bool accounts_;
  std::string ca_;
  Informer& namespaces_;
  Informer& objects_;
};

}  // namespace

Plan plan_account(const Value& ns, const Value& found) {
  Plan plan;
  if (needs_objects(ns) && found.is_null()) plan.add(create(kServiceAccounts, named("ServiceAccount", ns, kAccount)));
  return plan;
}

Plan plan_root_ca(const Value& ns, const Value& found, const std::string& ca) {
  Plan plan;
  if (!needs_objects(ns)) return plan;
  const Value data = Value::object({{"ca.crt", ca}});
  const bool described = api::annotation_of(found, "kubernetes.io/description") == kDescription;
  if (!found.is_null() && found["data"] == data && described) return plan;
  Value object = found.is_null() ? named("ConfigMap", ns, kRootCa) : found;
  object.set("data", data);
  object.mut("metadata").mut("annotations").set("kubernetes.io/description", kDescription);
  plan.add(found.is_null() ? create(kConfigMaps, std::move(object)) : update(kConfigMaps, std::move(object)));
  return plan;
}

std::unique_ptr<Controller> make_account_controller(InformerSet& informers) {
  return std::make_unique<NamespaceObjectController>(informers, true, std::string());
}
std::unique_ptr<Controller> make_root_ca_controller(InformerSet& informers, std::string ca) {
  return std::make_unique<NamespaceObjectController>(informers, false, std::move(ca));
}

}  // namespace berth::controllers::serviceaccount
