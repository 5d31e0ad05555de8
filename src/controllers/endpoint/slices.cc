#include <algorithm>
#include <map>
#include <set>

#include "base/text.h"
#include "base/time/time.h"
#include "controllers/endpoint/common.h"
#include "controllers/endpoint/plan.h"

namespace berth::controllers::endpoint {
namespace {

using namespace api::resources;  // NOLINT

// The endpoints of one address family with the same ports, sorted by pod name.
struct Group {
  std::string family;
  Value ports;
  std::vector<Value> endpoints;
};

bool is_reserved_label(std::string_view key) { return key == kManagedBy || key == kServiceName || key == kHeadless; }

class SlicePlanner {
 public:
  SlicePlanner(const ServiceView& view, Time now) : view_(view), service_(view.service), now_(now) {}

  Plan run() {
    for (const std::string& family : families()) {
      std::vector<Group> groups = group_pods(family);
      std::vector<Value> mine;
      for (const Value& slice : view_.slices) {
        if (slice["addressType"].as_string() == family) mine.push_back(slice);
      }
      sync_family(family, groups, mine);
    }
    for (const Value& slice : view_.slices) {
      const auto desired_families = families();
      if (std::find(desired_families.begin(), desired_families.end(), slice["addressType"].as_string()) ==
          desired_families.end())
        mark_unused(slice);
    }
    finish();
    return std::move(plan_);
  }

 private:
  std::vector<std::string> families() const {
    std::vector<std::string> out;
    for (const Value& family : service_["spec"]["ipFamilies"]) out.push_back(family.str());
    if (out.empty()) out.emplace_back("IPv4");
    return out;
  }
  std::vector<Group> group_pods(const std::string& family) const;
  Value endpoint_of(const Value& pod, const std::string& address) const;
  struct RetainedSlice {
    const Value* slice;
    std::vector<Value> endpoints;
  };
  using EndpointsByUid = std::map<std::string, Value>;
  static std::vector<RetainedSlice> retained_slices(const Group& group, const std::vector<Value>& slices,
                                                    EndpointsByUid& waiting);
  static bool add_endpoint(std::vector<RetainedSlice>& slices, const Value& endpoint);
  void sync_group(const std::string& family, Group& group, const std::vector<Value>& slices,
                  std::set<std::string_view>& used, int& total);
  void sync_family(const std::string& family, std::vector<Group>& groups, const std::vector<Value>& slices);
  Value labels() const;
  void write(const Value& slice, const Value& ports, std::vector<Value> endpoints);
  void make(const std::string& family, const Value& ports, std::vector<Value> endpoints, int number);
  void mark_unused(const Value& slice) { unused_.push_back(slice); }
  void finish();
  Action& report_failure(Action& action) const {
    return action.failed(service_, kWarning, "FailedToUpdateEndpointSlices",
                         "Error updating Endpoint Slices for Service " + key_of(service_) + ": ");
  }

  const ServiceView& view_;
  const Value& service_;
  Time now_;
  Plan plan_;
  struct NewSlice {
    std::string family;
    Value ports;
    std::vector<Value> endpoints;
    int number;
  };
  std::vector<NewSlice> to_create_;
  std::vector<Value> unused_;
};

Value SlicePlanner::endpoint_of(const Value& pod, const std::string& address) const {
  const bool serving = api::is_pod_ready(pod), leaving = api::is_terminating(pod);
  const bool ready = service_["spec"]["publishNotReadyAddresses"].as_bool() || (serving && !leaving);
  Value out =
      Value::object({{"addresses", Value::array({address})},
                     {"conditions", Value::object({{"ready", ready}, {"serving", serving}, {"terminating", leaving}})},
                     {"targetRef", reference_to(pod)}});
  const std::string_view node = pod["spec"]["nodeName"].as_string();
  if (!node.empty()) {
    out.set("nodeName", node);
    const std::string zone = view_.zone_of ? view_.zone_of(node) : std::string();
    if (!zone.empty()) out.set("zone", zone);
  }
  const std::string_view hostname = hostname_in(service_, pod);
  if (!hostname.empty()) out.set("hostname", hostname);
  return out;
}

std::vector<Group> SlicePlanner::group_pods(const std::string& family) const {
  std::map<std::string, Group> by_ports;
  for (const Value& pod : view_.pods) {
    const std::string address = address_of(pod, family == "IPv6");
    if (!is_endpoint(pod, true) || address.empty()) continue;
    Value ports = ports_for(service_, pod);
    Group& group = by_ports[json::encode(ports)];
    group.family = family;
    group.ports = std::move(ports);
    group.endpoints.push_back(endpoint_of(pod, address));
  }
  std::vector<Group> out;
  for (auto& [key, group] : by_ports) {
    std::sort(group.endpoints.begin(), group.endpoints.end(), [](const Value& a, const Value& b) {
      return a["targetRef"]["name"].as_string() < b["targetRef"]["name"].as_string();
    });
    out.push_back(std::move(group));
  }
  return out;
}

// The slices with the group's ports, each with those of its endpoints that still belong to it, which are taken out of
// `waiting`.
std::vector<SlicePlanner::RetainedSlice> SlicePlanner::retained_slices(const Group& group,
                                                                       const std::vector<Value>& slices,
                                                                       EndpointsByUid& waiting) {
  std::vector<RetainedSlice> out;
  for (const Value& slice : slices) {
    const Value& have = slice["ports"];
    if (have != group.ports && !(have.empty() && group.ports.empty())) continue;
    RetainedSlice retained_slice{&slice, {}};
    for (const Value& endpoint : slice["endpoints"]) {
      auto found = waiting.find(endpoint["targetRef"]["uid"].str());
      if (found == waiting.end()) continue;
      retained_slice.endpoints.push_back(std::move(found->second));
      waiting.erase(found);
    }
    out.push_back(std::move(retained_slice));
  }
  return out;
}

// Adds the endpoint to the first slice with space.
bool SlicePlanner::add_endpoint(std::vector<RetainedSlice>& slices, const Value& endpoint) {
  for (RetainedSlice& retained_slice : slices) {
    if (retained_slice.endpoints.size() >= kEndpointsPerSlice) continue;
    retained_slice.endpoints.push_back(endpoint);
    return true;
  }
  return false;
}

// `total` counts the family's slices with endpoints.
void SlicePlanner::sync_group(const std::string& family, Group& group, const std::vector<Value>& slices,
                              std::set<std::string_view>& used, int& total) {
  EndpointsByUid waiting;
  std::vector<std::string> order;
  for (Value& endpoint : group.endpoints) {
    order.push_back(endpoint["targetRef"]["uid"].str());
    waiting[order.back()] = endpoint;
  }
  std::vector<RetainedSlice> retained = retained_slices(group, slices, waiting);
  for (const RetainedSlice& retained_slice : retained) used.insert(api::name_of(*retained_slice.slice));
  // New endpoints go into the fullest slices with space.
  std::stable_sort(retained.begin(), retained.end(), [](const RetainedSlice& a, const RetainedSlice& b) {
    return a.endpoints.size() > b.endpoints.size();
  });
  std::vector<Value> rest;
  for (const std::string& uid : order) {
    auto found = waiting.find(uid);
    if (found != waiting.end() && !add_endpoint(retained, found->second)) rest.push_back(found->second);
  }
  for (RetainedSlice& retained_slice : retained) {
    if (retained_slice.endpoints.empty()) {
      mark_unused(*retained_slice.slice);
      continue;
    }
    ++total;
    write(*retained_slice.slice, group.ports, std::move(retained_slice.endpoints));
  }
  for (std::size_t at = 0; at < rest.size(); at += kEndpointsPerSlice) {
    const std::size_t end = std::min(rest.size(), at + kEndpointsPerSlice);
    to_create_.push_back(NewSlice{family, group.ports,
                                  std::vector<Value>(rest.begin() + static_cast<std::ptrdiff_t>(at),
                                                     rest.begin() + static_cast<std::ptrdiff_t>(end)),
                                  total++});
  }
}

void SlicePlanner::sync_family(const std::string& family, std::vector<Group>& groups,
                               const std::vector<Value>& slices) {
  std::set<std::string_view> used;
  int total = 0;
  for (Group& group : groups) sync_group(family, group, slices, used, total);
  // A service without endpoints has one empty slice.
  const bool needs_placeholder = total == 0;
  bool has_placeholder = false;
  for (const Value& slice : slices) {
    if (used.count(api::name_of(slice))) continue;
    if (needs_placeholder && !has_placeholder && slice["endpoints"].empty() && slice["ports"].empty()) {
      has_placeholder = true;
      write(slice, Value::array(), {});
    } else {
      mark_unused(slice);
    }
  }
  if (needs_placeholder && !has_placeholder) to_create_.push_back(NewSlice{family, Value::array(), {}, 0});
}

Value SlicePlanner::labels() const {
  Value out = Value::object();
  for (const auto& [key, value] : api::labels_of(service_).entries()) {
    if (!is_reserved_label(key)) out.set(key, value);
  }
  out.set(kServiceName, api::name_of(service_)).set(kManagedBy, kSliceManager);
  if (is_headless(service_)) out.set(kHeadless, "");
  return out;
}

// A slice to delete is updated instead, if one is to be created: one write, not two.
void SlicePlanner::finish() {
  for (NewSlice& new_slice : to_create_) {
    auto found = std::find_if(unused_.begin(), unused_.end(),
                              [&](const Value& slice) { return slice["addressType"].as_string() == new_slice.family; });
    if (found == unused_.end()) {
      make(new_slice.family, new_slice.ports, std::move(new_slice.endpoints), new_slice.number);
      continue;
    }
    const Value slice = *found;
    unused_.erase(found);
    write(slice, new_slice.ports, std::move(new_slice.endpoints));
  }
  for (const Value& slice : unused_) plan_.add(remove(kEndpointSlices, slice));
}

void SlicePlanner::write(const Value& slice, const Value& ports, std::vector<Value> endpoints) {
  Value list = Value::array(std::move(endpoints));
  auto equal = [](const Value& a, const Value& b) { return a == b || (a.empty() && b.empty()); };
  const bool same = equal(slice["endpoints"], list) && equal(slice["ports"], ports);
  if (same && api::labels_of(slice) == labels()) return;
  Value changed = slice;
  changed.set("endpoints", std::move(list));
  changed.set("ports", ports);
  changed.mut("metadata").set("labels", labels());
  changed.mut("metadata").mut("annotations").set(kTriggerTime, format_time(now_));
  Action action = update(kEndpointSlices, std::move(changed));
  report_failure(action);
  plan_.add(std::move(action));
}

void SlicePlanner::make(const std::string& family, const Value& ports, std::vector<Value> endpoints, int number) {
  // A repeated plan derives the same name; the names of existing slices in the seed make the next one different.
  std::string seed = std::string(api::uid_of(service_)) + family + json::encode(ports) + std::to_string(number);
  for (const Value& slice : view_.slices) seed += "/" + std::string(api::name_of(slice));
  const std::string suffix = safe_encode(std::to_string(fnv64a(seed) % 100000 + 100000)).substr(1);
  const std::string prefix = std::string(api::name_of(service_).substr(0, 57)) + "-";
  Value metadata =
      Value::object({{"name", prefix + suffix},
                     {"generateName", prefix},
                     {"namespace", api::namespace_of(service_)},
                     {"labels", labels()},
                     {"annotations", Value::object({{kTriggerTime, format_time(now_)}})},
                     {"ownerReferences", Value::array({api::controller_reference(service_, "v1", "Service")})}});
  Action action = create(kEndpointSlices, Value::object({{"apiVersion", "discovery.k8s.io/v1"},
                                                         {"kind", "EndpointSlice"},
                                                         {"metadata", metadata},
                                                         {"addressType", family},
                                                         {"endpoints", Value::array(std::move(endpoints))},
                                                         {"ports", ports}}));
  report_failure(action);
  plan_.add(std::move(action));
}

}  // namespace

Plan plan_slices(const ServiceView& view, Time now) {
  if (!has_endpoints(view.service) || api::is_terminating(view.service)) return {};
  return SlicePlanner(view, now).run();
}

}  // namespace berth::controllers::endpoint
