// Requests, limits and claims of resources: of a container, and of a pod as a whole.
#include <algorithm>
#include <iterator>
#include <string>
#include <vector>

#include "api/quantity.h"
#include "api/resource_list.h"
#include "api/resource_names.h"
#include "apiserver/validation/check_functions.h"
#include "apiserver/validation/pod/pod_scope.h"
#include "apiserver/validation/validation.h"
#include "base/text.h"

namespace berth::apiserver::validation {
namespace {

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> list) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

bool may_overcommit(std::string_view name) { return api::is_native_resource(name) && !api::is_huge_pages(name); }
bool is_counted(std::string_view name) {
  return is_extended_resource(name) ||
         is_one_of(name, {"pods", "resourcequotas", "services", "replicationcontrollers", "secrets", "configmaps",
                          "persistentvolumeclaims", "services.nodeports", "services.loadbalancers"});
}
bool is_standard(std::string_view name) {
  return api::is_huge_pages(name) || name.starts_with("requests.hugepages-") ||
         is_one_of(name, {"cpu",
                          "memory",
                          "ephemeral-storage",
                          "requests.cpu",
                          "requests.memory",
                          "requests.ephemeral-storage",
                          "limits.cpu",
                          "limits.memory",
                          "limits.ephemeral-storage",
                          "pods",
                          "resourcequotas",
                          "services",
                          "replicationcontrollers",
                          "secrets",
                          "configmaps",
                          "persistentvolumeclaims",
                          "storage",
                          "requests.storage",
                          "services.nodeports",
                          "services.loadbalancers"});
}

void check_name(Report& report, const Path& path, std::string_view name, ResourcesOf of) {
  const Value shown(name);
  if (const std::vector<std::string> complaints = is_qualified_name(name); !complaints.empty())
    return report.complaints(path, shown, complaints);
  const bool plain = name.find('/') == std::string_view::npos;
  const bool unknown = plain && !is_standard(name);
  if (unknown) report.invalid(path, shown, "must be a standard resource type or fully qualified");
  if (of == ResourcesOf::kPod) {
    if (!unknown && !api::is_pod_level(name)) report.not_supported(path, shown, {"cpu", "hugepages-", "memory"});
    return;
  }
  if (plain) {
    if (!is_one_of(name, {"cpu", "memory", "ephemeral-storage"}) && !api::is_huge_pages(name)) {
      report.invalid(path, shown, "must be a standard resource for containers");
    }
  } else if (!api::is_native_resource(name) && !is_extended_resource(name)) {
    report.invalid(path, shown, "doesn't follow extended resource name standard");
  }
}

// Whether an amount of huge pages is a whole number of them.
bool divides(std::string_view name, const api::Quantity& amount) {
  const Result<api::Quantity> page = api::Quantity::parse(name.substr(std::string_view("hugepages-").size()));
  return page.ok() && page->sign() > 0 && amount.value() % page->value() == 0;
}

void check_amount(Report& report, const Path& path, std::string_view name, const Value& value) {
  const Result<api::Quantity> amount = api::Quantity::parse(value.as_string());
  if (!amount.ok()) return;
  if (amount->sign() < 0) report.invalid(path, value, "must be greater than or equal to 0");
  if (is_counted(name) && amount->milli_value() % 1000 != 0) report.invalid(path, value, "must be an integer");
  if (api::is_huge_pages(name) && !divides(name, *amount)) {
    report.invalid(path, value, amount->to_string() + " is not positive integer multiple of " + std::string(name));
  }
}

void check_against_limit(Report& report, const Path& path, std::string_view name, const Value& requested,
                         const Value& limits) {
  const Path requests = path / "requests";
  if (!limits.contains(name)) {
    if (!may_overcommit(name)) report.required(path / "limits", "Limit must be set for non overcommitable resources");
    return;
  }
  const Result<api::Quantity> request = api::Quantity::parse(requested.as_string()),
                              limit = api::Quantity::parse(limits[name].as_string());
  if (!request.ok() || !limit.ok()) return;
  const bool exact = !may_overcommit(name) && !(*request == *limit);
  if (!exact && *request <= *limit) return;
  report.invalid(requests, requested,
                 std::string(exact ? "must be equal to " : "must be less than or equal to ") + std::string(name) +
                     " limit of " + limit->to_string());
}

// What a container uses of the claims of its pod: whole claims, or single requests of them, each once.
void check_claims(Report& report, const Path& path, const Value& claims, const PodScope& scope) {
  std::vector<std::string> seen;
  auto has = [&](const std::string& key) { return std::find(seen.begin(), seen.end(), key) != seen.end(); };
  std::size_t index = 0;
  for (const Value& claim : claims) {
    const Path here = path.at(index++);
    const std::string name = claim["name"].str();
    if (name.empty()) {
      report.required(here);
      continue;
    }
    if (has(name)) {
      report.duplicate(here, name);
    } else {
      std::string key = name;
      if (const Value& request = claim["request"]; !request.as_string().empty()) {
        report.complaints(here / "request", request, is_dns1123_label(request.as_string()));
        key += "/" + request.str();
      }
      if (has(key)) {
        report.duplicate(here, key);
      } else if (key == name) {
        for (const std::string& other : seen) {
          if (other.starts_with(name + "/")) report.duplicate(here, name);
        }
      }
      seen.push_back(std::move(key));
    }
    if (std::binary_search(scope.claims().begin(), scope.claims().end(), std::string_view(name))) continue;
    std::string detail = "must be one of the names in pod.spec.resourceClaims";
    if (scope.claims().empty()) {
      detail += " which is empty";
    } else {
      std::vector<std::string> names(scope.claims().begin(), scope.claims().end());
      detail += ": " + join(names, ", ");
    }
    report.add({"FieldValueNotFound", "Not found: " + quoted(name) + ": " + detail, here.text()});
  }
}

// Containers together may not request more than their pod, and no limit may be higher than the pod's.
void check_fits_in_pod(Report& report, const Path& path, const PodScope& scope) {
  const Value& own = scope.spec()["resources"];
  if (own["requests"].empty() && own["limits"].empty()) return;
  const Path requests = path / "requests";
  for (const auto& [name, amount] : api::container_resources(scope.spec(), "requests")) {
    const Value& given = own["requests"][name];
    const Result<api::Quantity> limit = api::Quantity::parse(given.as_string("0"));
    if (!limit.ok() || amount <= *limit || (!api::is_pod_level(name) && given.is_null())) continue;
    report.invalid(requests.key(name), Value(limit->to_string()),
                   "must be greater than or equal to aggregate container requests of " + amount.to_string());
  }
  const Path containers = path / "containers";
  std::size_t index = 0;
  for (const Value& container : scope.spec()["containers"]) {
    const Path here = containers.at(index++);
    for (json::Entry limit : container["resources"]["limits"].entries()) {
      const Result<api::Quantity> mine = api::Quantity::parse(limit.value.as_string()),
                                  whole = api::Quantity::parse(own["limits"][limit.key].as_string());
      if (!mine.ok() || !whole.ok() || *mine <= *whole) continue;
      const Path key = here.key(limit.key);
      report.invalid(key / "limits", Value(mine->to_string()),
                     "must be less than or equal to pod limits of " + whole->to_string());
    }
  }
}

}  // namespace

void validate_resources(Report& report, const Path& path, const Value& resources, ResourcesOf of,
                        const PodScope* scope) {
  bool computes = false, huge = false;
  for (const char* list : {"limits", "requests"}) {
    const Path here = path / list;
    for (json::Entry entry : resources[list].entries()) {
      const Path at_key = here.key(entry.key);
      check_name(report, at_key, entry.key, of);
      check_amount(report, at_key, entry.key, entry.value);
      if (std::string_view(list) == "requests")
        check_against_limit(report, path, entry.key, entry.value, resources["limits"]);
      computes = computes || entry.key == "cpu" || entry.key == "memory";
      huge = huge || api::is_huge_pages(entry.key);
    }
  }
  if (huge && !computes) report.forbidden(path, "HugePages require cpu or memory");
  if (scope != nullptr && !resources["claims"].empty()) {
    const Path claims = path / "claims";
    check_claims(report, claims, resources["claims"], *scope);
  }
}

void validate_pod_resources(Report& report, const Path& path, const PodScope& scope) {
  const Value& resources = scope.spec()["resources"];
  if (!resources.is_object()) return;
  if (!resources["claims"].is_null())
    report.forbidden(path / "claims", "claims may not be set for Resources at pod-level");
  validate_resources(report, path, resources, ResourcesOf::kPod, &scope);
  check_fits_in_pod(report, path, scope);
}

void check_overhead(Report& report, const Path& path, const Value& overhead) {
  if (overhead.empty()) return;
  validate_resources(report, path, Value::object({{"limits", overhead}}), ResourcesOf::kContainer, nullptr);
}

}  // namespace berth::apiserver::validation
