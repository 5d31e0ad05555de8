#include "controllers/endpoint/controller.h"

#include <algorithm>

#include "api/selector.h"
#include "controllers/endpoint/mirror.h"
#include "controllers/endpoint/plan.h"

namespace berth::controllers::endpoint {
namespace {

using namespace api::resources;  // NOLINT

const std::string kByService = "by-service";
const std::string kMirrored = "mirrored";

void by_service(const Value& slice, std::vector<std::string>& keys) {
  if (api::label_of(slice, kManagedBy) != kSliceManager) return;
  keys.push_back(std::string(api::namespace_of(slice)) + "/" + std::string(api::label_of(slice, kServiceName)));
}

void by_mirrored_service(const Value& slice, std::vector<std::string>& keys) {
  if (api::label_of(slice, kManagedBy) != kMirrorManager) return;
  keys.push_back(std::string(api::namespace_of(slice)) + "/" + std::string(api::label_of(slice, kServiceName)));
}

class EndpointController final : public Controller {
 public:
  EndpointController(InformerSet& informers, bool slices)
      : writes_slices_(slices),
        services_(informers.get(kServices)),
        pods_(informers.get(kPods)),
        nodes_(informers.get(kNodes)),
        outputs_(informers.get(slices ? kEndpointSlices : kEndpoints)) {
    if (slices) outputs_.add_index(kByService, by_service);
  }
  std::string name() const override { return writes_slices_ ? "endpointslice" : "endpoint"; }
  std::string component() const override {
    return writes_slices_ ? "endpoint-slice-controller" : "endpoint-controller";
  }

  std::vector<WatchedCollection> watches() override {
    std::vector<WatchedCollection> out;
    out.push_back(watch_self(services_));
    out.push_back(watch_mapped(pods_, [this](const Value& before, const Value& after, Keys& keys) {
      if (!pod_affects_endpoints(before, after)) return;
      const Value& pod = after.is_null() ? before : after;
      for (const Value& service : services_.list(api::namespace_of(pod))) {
        if (!has_endpoints(service)) continue;
        const auto selector = api::LabelSelector::of_map(service["spec"]["selector"]);
        const bool selected = (!before.is_null() && selector.matches(api::labels_of(before))) ||
                              (!after.is_null() && selector.matches(api::labels_of(after)));
        if (selected) keys.push_back(key_of(service));
      }
    }));
    out.push_back(watch_mapped(outputs_, [this](const Value& before, const Value& after, Keys& keys) {
      if (!writes_slices_) return keys.push_back(key_of(after.is_null() ? before : after));
      for (const Value* slice : {&before, &after}) {
        Keys services;
        by_service(*slice, services);
        for (std::string& key : services) {
          if (std::find(keys.begin(), keys.end(), key) == keys.end()) keys.push_back(std::move(key));
        }
      }
    }));
    return out;
  }

  Plan plan(const std::string& key, Time now) override {
    ServiceView view;
    const api::Name name = name_of_key(key);
    view.service = services_.get(name);
    if (has_endpoints(view.service)) {
      const auto selector = api::LabelSelector::of_map(view.service["spec"]["selector"]);
      for (Value& pod : pods_.list(name.ns)) {
        if (selector.matches(api::labels_of(pod))) view.pods.push_back(std::move(pod));
      }
    }
    if (!writes_slices_) {
      view.endpoints = outputs_.get(name);
      return with_members(plan_endpoints(view, now), view);
    }
    view.slices = outputs_.by_index(kByService, key);
    view.zone_of = [this](std::string_view node) {
      return std::string(api::label_of(nodes_.get("", node), "topology.kubernetes.io/zone"));
    };
    return with_members(plan_slices(view, now), view);
  }

 private:
  static Plan with_members(Plan plan, const ServiceView& view) {
    plan.members = view.pods.size();
    return plan;
  }

  bool writes_slices_;
  Informer& services_;
  Informer& pods_;
  Informer& nodes_;
  Informer& outputs_;
};

class MirrorController final : public Controller {
 public:
  explicit MirrorController(InformerSet& informers)
      : services_(informers.get(kServices)),
        endpoints_(informers.get(kEndpoints)),
        slices_(informers.get(kEndpointSlices)) {
    slices_.add_index(kMirrored, by_mirrored_service);
  }
  std::string name() const override { return "endpointslice-mirroring"; }
  std::string component() const override { return "endpoint-slice-mirroring-controller"; }

  std::vector<WatchedCollection> watches() override {
    std::vector<WatchedCollection> out;
    out.push_back(watch_self(endpoints_));
    out.push_back(watch_mapped(services_, [](const Value& before, const Value& after, Keys& keys) {
      if (before["spec"]["selector"].empty() != after["spec"]["selector"].empty() || before.is_null() ||
          after.is_null()) {
        keys.push_back(key_of(after.is_null() ? before : after));
      }
    }));
    out.push_back(watch_mapped(slices_, [](const Value& before, const Value& after, Keys& keys) {
      by_mirrored_service(after.is_null() ? before : after, keys);
    }));
    return out;
  }

  Plan plan(const std::string& key, Time now) override {
    const api::Name name = name_of_key(key);
    return plan_mirror(MirrorView{services_.get(name), endpoints_.get(name), slices_.by_index(kMirrored, key)}, now);
  }

 private:
  Informer& services_;
  Informer& endpoints_;
  Informer& slices_;
};

class ApiServerController final : public Controller {
 public:
  ApiServerController(InformerSet& informers, ApiServerAddress address)
      : address_(std::move(address)),
        services_(informers.get(kServices)),
        endpoints_(informers.get(kEndpoints)),
        slices_(informers.get(kEndpointSlices)) {}
  std::string name() const override { return "apiserver-endpoints"; }
  std::string component() const override { return "kube-apiserver"; }

  std::vector<WatchedCollection> watches() override {
    std::vector<WatchedCollection> out;
    // The Service exists from the start; its event triggers the first plan.
    for (Informer* informer : {&services_, &endpoints_, &slices_}) {
      out.push_back(watch_mapped(*informer, [](const Value& before, const Value& after, Keys& keys) {
        std::string key = key_of(after.is_null() ? before : after);
        if (key == kApiServerKey) keys.push_back(std::move(key));
      }));
    }
    return out;
  }

  Plan plan(const std::string& key, Time) override {
    const api::Name name = name_of_key(key);
    return plan_api_server({endpoints_.get(name), slices_.get(name)}, address_);
  }

 private:
  ApiServerAddress address_;
  Informer& services_;
  Informer& endpoints_;
  Informer& slices_;
};

}  // namespace

std::unique_ptr<Controller> make_api_server_controller(InformerSet& informers, ApiServerAddress address) {
  return std::make_unique<ApiServerController>(informers, std::move(address));
}
std::unique_ptr<Controller> make_mirror_controller(InformerSet& informers) {
  return std::make_unique<MirrorController>(informers);
}
std::unique_ptr<Controller> make_slice_controller(InformerSet& informers) {
  return std::make_unique<EndpointController>(informers, true);
}
std::unique_ptr<Controller> make_endpoints_controller(InformerSet& informers) {
  return std::make_unique<EndpointController>(informers, false);
}

}  // namespace berth::controllers::endpoint
