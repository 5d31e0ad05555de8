#include "apiserver/admission/limit_ranges.h"

#include <algorithm>
#include <cstdio>

#include "api/resource_list.h"
#include "api/status.h"
#include "base/text.h"

namespace berth::apiserver::admission {
namespace {

using api::ResourceList;

std::vector<store::RecordPtr> ranges_of(const Request& request) {
  return request.objects.list(api::resources::kLimitRanges, request.ns);
}

// --- Defaults

struct Defaults {
  Value limits = Value::object(), requests = Value::object();
};

Defaults defaults_of(const Value& range) {
  Defaults out;
  for (const Value& item : range["spec"]["limits"]) {
    if (item["type"].as_string() != "Container") continue;
    for (auto [name, amount] : item["default"].entries()) out.limits.set(name, amount);
    for (auto [name, amount] : item["defaultRequest"].entries()) out.requests.set(name, amount);
  }
  return out;
}

// Adds the amounts of `defaults` that `list` lacks; returns their names: "cpu, memory", or "".
std::string fill_in(Value& resources, const char* list, const Value& defaults) {
  std::vector<std::string> added;
  for (auto [name, amount] : defaults.entries()) {
    if (resources[list].contains(name)) continue;
    resources.mut(list).set(name, amount);
    added.emplace_back(name);
  }
  return join(added, ", ");
}

void apply_defaults_of(const Value& range, Value& pod) {
  const Defaults defaults = defaults_of(range);
  if (defaults.limits.empty() && defaults.requests.empty()) return;
  std::vector<std::string> texts;
  for (auto [list, word] : {std::pair("containers", " container "), std::pair("initContainers", " init container ")}) {
    for (std::size_t i = 0; i < pod["spec"][list].size(); ++i) {
      const std::string name = word + pod["spec"][list][i]["name"].str();
      Value resources = pod["spec"][list][i]["resources"];
      std::string limits = fill_in(resources, "limits", defaults.limits),
                  requests = fill_in(resources, "requests", defaults.requests);
      if (!requests.empty()) texts.push_back(requests + " request for" + name);
      if (!limits.empty()) texts.push_back(limits + " limit for" + name);
      if (!requests.empty() || !limits.empty()) pod.mut("spec").mut(list).mut(i).set("resources", std::move(resources));
    }
  }
  if (texts.empty()) return;
  pod.mut("metadata")
      .mut("annotations")
      .set("kubernetes.io/limit-ranger", "LimitRanger plugin set: " + join(texts, "; "));
}

// --- Bounds

// One container, pod or claim, with what it requests. Each complaint is added once.
struct BoundedObject {
  std::string type;  // "Container", "Pod", "PersistentVolumeClaim"
  ResourceList requests, limits;
  std::vector<std::string>* complaints;

  static const api::Quantity* find(const ResourceList& list, const std::string& name) {
    auto at = list.find(name);
    return at == list.end() ? nullptr : &at->second;
  }
  void complain(std::string text) const {
    if (std::find(complaints->begin(), complaints->end(), text) == complaints->end())
      complaints->push_back(std::move(text));
  }
  std::string bound(const char* which, const std::string& name, const api::Quantity& amount) const {
    return std::string(which) + " " + name + " usage per " + type + " is " + amount.to_string();
  }

  void at_least(const std::string& name, const api::Quantity& least) const {
    const api::Quantity *request = find(requests, name), *limit = find(limits, name);
    const std::string text = bound("minimum", name, least);
    if (!request) return complain(text + ".  No request is specified");
    if (*request < least) return complain(text + ", but request is " + request->to_string());
    if (limit && *limit < least) complain(text + ", but limit is " + limit->to_string());
  }
  void at_most(const std::string& name, const api::Quantity& most) const {
    const api::Quantity *request = find(requests, name), *limit = find(limits, name);
    const std::string text = bound("maximum", name, most);
    if (!limit) return complain(text + ".  No limit is specified");
    if (*limit > most) return complain(text + ", but limit is " + limit->to_string());
    if (request && *request > most) complain(text + ", but request is " + request->to_string());
  }
  // For claims, which have no limits.
  void request_at_most(const std::string& name, const api::Quantity& most) const {
    const api::Quantity* request = find(requests, name);
    const std::string text = bound("maximum", name, most);
    if (!request) return complain(text + ".  No request is specified");
    if (*request > most) complain(text + ", but request is " + request->to_string());
  }
  void ratio_at_most(const std::string& name, const api::Quantity& most) const {
    const api::Quantity *request = find(requests, name), *limit = find(limits, name);
    const std::string text = name + " max limit to request ratio per " + type + " is " + most.to_string();
    if (!request || request->sign() == 0) return complain(text + ", but no request is specified or request is 0");
    if (!limit || limit->sign() == 0) return complain(text + ", but no limit is specified or limit is 0");
    const double ratio = limit->as_double() / request->as_double();
    char shown[64];
    std::snprintf(shown, sizeof shown, "%f", ratio);
    if (ratio > most.as_double()) complain(text + ", but provided ratio is " + shown);
  }
  void check(const Value& item) const {
    for (const auto& [name, amount] : api::resource_list(item["min"])) at_least(name, amount);
    for (const auto& [name, amount] : api::resource_list(item["max"])) at_most(name, amount);
    for (const auto& [name, amount] : api::resource_list(item["maxLimitRequestRatio"])) ratio_at_most(name, amount);
  }
};

void check_pod(const Value& range, const Value& pod, std::vector<std::string>& complaints) {
  for (const Value& item : range["spec"]["limits"]) {
    const std::string type = item["type"].str();
    if (type == "Container") {
      for (const char* list : {"containers", "initContainers"}) {
        for (const Value& container : pod["spec"][list]) {
          const Value& resources = container["resources"];
          BoundedObject{type, api::resource_list(resources["requests"]), api::resource_list(resources["limits"]),
                        &complaints}
              .check(item);
        }
      }
    } else if (type == "Pod") {
      BoundedObject{type, api::pod_resources(pod, "requests"), api::pod_resources(pod, "limits"), &complaints}.check(
          item);
    }
  }
}

// `before` is null where the claim is new. An unchanged request is not checked.
void check_claim(const Value& range, const Value& before, const Value& claim, std::vector<std::string>& complaints) {
  const ResourceList old = api::resource_list(before["spec"]["resources"]["requests"]);
  BoundedObject checked{
      "PersistentVolumeClaim", api::resource_list(claim["spec"]["resources"]["requests"]), {}, &complaints};
  auto unchanged = [&](const std::string& name) {
    const api::Quantity *then = BoundedObject::find(old, name), *now = BoundedObject::find(checked.requests, name);
    return then && now && *then == *now;
  };
  for (const Value& item : range["spec"]["limits"]) {
    if (item["type"].as_string() != checked.type) continue;
    for (const auto& [name, amount] : api::resource_list(item["min"])) {
      if (!unchanged(name)) checked.at_least(name, amount);
    }
    for (const auto& [name, amount] : api::resource_list(item["max"])) {
      if (!unchanged(name)) checked.request_at_most(name, amount);
    }
  }
}

// Refuses the change with the complaints about the first range that has any.
template <class CheckRange>
Status refuse_complaints(const Change& change, CheckRange check_range) {
  for (const store::RecordPtr& range : ranges_of(change.request)) {
    std::vector<std::string> complaints;
    check_range(range->value, complaints);
    if (complaints.empty()) continue;
    return api::forbidden(change.request.kind.resource(), api::name_of(change.after),
                          complaints.size() == 1 ? complaints[0] : "[" + join(complaints, ", ") + "]");
  }
  return ok_status();
}

}  // namespace

void apply_limit_defaults(const Request& request, Value& pod) {
  for (const store::RecordPtr& range : ranges_of(request)) apply_defaults_of(range->value, pod);
}

Status check_pod_limits(const Change& change) {
  const Request& request = change.request;
  const bool resized = request.subresource == "resize";
  if (!resized && !(change.creates() && request.subresource.empty())) return ok_status();
  return refuse_complaints(change,
                           [&](const Value& range, auto& complaints) { check_pod(range, change.after, complaints); });
}

Status check_claim_limits(const Change& change) {
  if (!change.request.subresource.empty()) return ok_status();
  return refuse_complaints(change, [&](const Value& range, auto& complaints) {
    check_claim(range, change.before, change.after, complaints);
  });
}

}  // namespace berth::apiserver::admission
