// LimitRange and ResourceQuota.
#include <algorithm>
#include <cstdio>
#include <set>

#include "api/resource_list.h"
#include "api/resource_names.h"
#include "apiserver/validation/go_value.h"
#include "apiserver/validation/report.h"
#include "apiserver/validation/validation.h"
#include "base/text.h"

namespace berth::apiserver::validation {
namespace {

using api::ResourceList;

bool is_qualified(std::string_view name) { return name.find('/') != std::string_view::npos; }

template <std::size_t N>
bool is_among(std::string_view name, const char* const (&names)[N]) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

// --- Limit ranges

void validate_limit_type(Report& report, const std::string& path, const Value& type) {
  std::string_view text = type.as_string();
  if (std::vector<std::string> complaints = is_qualified_name(text); !complaints.empty())
    return report.complaints(path, type, complaints);
  static constexpr const char* kStandard[] = {"Container", "PersistentVolumeClaim", "Pod"};
  if (!is_qualified(text) && !is_among(text, kStandard))
    report.invalid(path, type, "must be a standard limit type or fully qualified");
}

// Besides huge pages and extended resources.
constexpr const char* kQuotaResources[] = {"configmaps",
                                           "cpu",
                                           "ephemeral-storage",
                                           "limits.cpu",
                                           "limits.ephemeral-storage",
                                           "limits.memory",
                                           "memory",
                                           "persistentvolumeclaims",
                                           "pods",
                                           "replicationcontrollers",
                                           "requests.cpu",
                                           "requests.ephemeral-storage",
                                           "requests.memory",
                                           "requests.storage",
                                           "resourcequotas",
                                           "secrets",
                                           "services",
                                           "services.loadbalancers",
                                           "services.nodeports"};

// The syntax and the kinds of names that limit ranges and quotas share.
void validate_resource_name(Report& report, const Path& path, std::string_view name) {
  const std::vector<std::string> complaints = is_qualified_name(name);
  report.complaints(path, name, complaints);
  if (!complaints.empty() || is_qualified(name) || name == "storage" || is_among(name, kQuotaResources) ||
      api::is_huge_pages(name))
    return;
  report.invalid(path, name, "must be a standard resource type or fully qualified");
}

void validate_limited_name(Report& report, const std::string& path, std::string_view type, std::string_view name) {
  if (type == "Container" || type == "Pod") return validate_container_resource_name(report, path, name);
  validate_resource_name(report, path, name);
}

const api::Quantity* find(const ResourceList& list, const std::string& name) {
  auto at = list.find(name);
  return at == list.end() ? nullptr : &at->second;
}

// The five lists of one item against each other, for one resource.
struct Bounds {
  const api::Quantity *min, *max, *limit, *request, *ratio;
};

void validate_ratio(Report& report, const std::string& at_ratio, const Bounds& b) {
  if (!b.ratio) return;
  if (*b.ratio < api::Quantity::of(1))
    report.invalid(at_ratio, b.ratio->to_string(), "ratio " + b.ratio->to_string() + " is less than 1");
  if (!b.min || !b.max) return;
  const double most = b.max->as_double() / b.min->as_double();
  if (b.ratio->as_double() <= most) return;
  char shown[64];
  std::snprintf(shown, sizeof shown, "%f", most);
  report.invalid(at_ratio, b.ratio->to_string(),
                 "ratio " + b.ratio->to_string() + " is greater than max/min = " + shown);
}

void validate_bounds(Report& report, const std::string& path, const std::string& name, const Bounds& b) {
  auto text = [](const api::Quantity* q) { return q->to_string(); };
  auto order = [&](const char* field, const api::Quantity* shown, const char* small_word, const api::Quantity* small,
                   const char* large_word, const api::Quantity* large) {
    if (!small || !large || !(*small > *large)) return;
    report.invalid(
        at_key(path + "." + field, name), text(shown),
        std::string(small_word) + " value " + text(small) + " is greater than " + large_word + " value " + text(large));
  };
  order("min", b.min, "min", b.min, "max", b.max);
  order("defaultRequest", b.request, "min", b.min, "default request", b.request);
  order("defaultRequest", b.request, "default request", b.request, "max", b.max);
  order("defaultRequest", b.request, "default request", b.request, "default limit", b.limit);
  order("default", b.min, "min", b.min, "default", b.limit);
  order("default", b.max, "default", b.limit, "max", b.max);
  validate_ratio(report, at_key(path + ".maxLimitRequestRatio", name), b);
  const bool overcommits = api::is_native_resource(name) && !api::is_huge_pages(name);
  if (!overcommits && b.limit && b.request && !(*b.limit == *b.request)) {
    report.invalid(
        at_key(path + ".defaultRequest", name), text(b.request),
        "default value " + text(b.limit) + " must equal to defaultRequest value " + text(b.request) + " in " + name);
  }
}

void validate_limit_item(Report& report, const std::string& path, const Value& item) {
  const std::string type = item["type"].str();
  std::set<std::string> names;
  auto collect = [&](const char* field) {
    for (auto [name, amount] : item[field].entries()) {
      validate_limited_name(report, at_key(path + "." + field, name), type, name);
      names.emplace(name);
    }
  };
  collect("max");
  collect("min");
  for (const char* field : {"default", "defaultRequest"}) {
    if (type != "Pod") {
      collect(field);
    } else if (!item[field].empty()) {
      report.forbidden(path + "." + field, "may not be specified when `type` is 'Pod'");
    }
  }
  if (type == "PersistentVolumeClaim" && !item["min"].contains("storage") && !item["max"].contains("storage")) {
    report.required(path + ".limits", "either minimum or maximum storage value is required, but neither was provided");
  }
  collect("maxLimitRequestRatio");
  const ResourceList min = api::resource_list(item["min"]), max = api::resource_list(item["max"]),
                     ratio = api::resource_list(item["maxLimitRequestRatio"]);
  const ResourceList limit = type == "Pod" ? ResourceList{} : api::resource_list(item["default"]);
  const ResourceList request = type == "Pod" ? ResourceList{} : api::resource_list(item["defaultRequest"]);
  for (const std::string& name : names) {
    validate_bounds(report, path, name,
                    {find(min, name), find(max, name), find(limit, name), find(request, name), find(ratio, name)});
  }
}

// --- Quotas

bool is_standard_quota_resource(std::string_view name) {
  return is_among(name, kQuotaResources) || api::is_huge_pages(name) || name.starts_with("requests.hugepages-");
}

bool is_whole(std::string_view name) {
  static constexpr const char* kNames[] = {"configmaps",
                                           "persistentvolumeclaims",
                                           "pods",
                                           "replicationcontrollers",
                                           "resourcequotas",
                                           "secrets",
                                           "services",
                                           "services.loadbalancers",
                                           "services.nodeports"};
  return is_among(name, kNames) || is_extended_resource(name);
}

bool is_scope(std::string_view scope) {
  static constexpr const char* kScopes[] = {
      "BestEffort",  "CrossNamespacePodAffinity", "NotBestEffort", "NotTerminating", "PriorityClass",
      "Terminating", "VolumeAttributesClass"};
  return is_among(scope, kScopes);
}

bool scope_fits(std::string_view scope, std::string_view resource) {
  static constexpr const char* kCompute[] = {"cpu",    "limits.cpu",   "limits.memory",
                                             "memory", "requests.cpu", "requests.memory"};
  if (scope == "VolumeAttributesClass") return resource == "persistentvolumeclaims" || resource == "requests.storage";
  if (scope == "BestEffort") return resource == "pods";
  return !is_scope(scope) || resource == "pods" || is_among(resource, kCompute);
}

bool conflict(const std::set<std::string>& scopes) {
  auto both = [&](const char* a, const char* b) { return scopes.contains(a) && scopes.contains(b); };
  return both("BestEffort", "NotBestEffort") || both("Terminating", "NotTerminating");
}

void validate_hard(Report& report, const std::string& where, const Value& hard) {
  for (auto [name, amount] : hard.entries()) {
    const std::string path = at_key(where, name);
    validate_resource_name(report, path, name);
    if (!is_qualified(name) && !is_standard_quota_resource(name))
      report.invalid(path, name, "must be a standard resource for quota");
    report.quantity_not_negative(path, amount);
    Result<api::Quantity> quantity = api::Quantity::parse(amount.as_string());
    if (quantity.ok() && is_whole(name) && quantity->milli_value() % 1000 != 0)
      report.invalid(path, amount, "must be an integer");
  }
}

// The names that a scope is checked against: those that quotas know.
void validate_scope_fits(Report& report, const std::string& path, std::string_view shown, std::string_view scope,
                         const Value& hard) {
  for (auto [name, amount] : hard.entries()) {
    if (is_standard_quota_resource(name) && !scope_fits(scope, name))
      report.invalid_shown(path, shown, "unsupported scope applied to resource");
  }
}

void validate_scopes(Report& report, const Value& spec) {
  std::set<std::string> seen;
  for (const Value& scope : spec["scopes"]) {
    if (!is_scope(scope.as_string())) report.invalid("spec.scopes", spec["scopes"], "unsupported scope");
    validate_scope_fits(report, "spec.scopes", json::encode(spec["scopes"]), scope.as_string(), spec["hard"]);
    seen.insert(scope.str());
  }
  if (conflict(seen)) report.invalid("spec.scopes", spec["scopes"], "conflicting scopes");
}

void validate_scope_selector(Report& report, const Value& spec) {
  const std::string path = "spec.scopeSelector.matchExpressions";
  const std::string shown = spec["scopeSelector"].is_object()
                                ? shown_as_go(spec["scopeSelector"], "io.k8s.api.core.v1.ScopeSelector")
                                : "null";
  std::set<std::string> seen;
  for (const Value& expression : spec["scopeSelector"]["matchExpressions"]) {
    const std::string scope = expression["scopeName"].str(), op = expression["operator"].str();
    if (!is_scope(scope)) report.invalid(path + ".scopeName", scope, "unsupported scope");
    validate_scope_fits(report, path, shown, scope, spec["hard"]);
    static constexpr const char* kPlain[] = {"BestEffort", "CrossNamespacePodAffinity", "NotBestEffort",
                                             "NotTerminating", "Terminating"};
    if (is_among(scope, kPlain) && op != "Exists") {
      report.invalid(
          path + ".operator", op,
          "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
          "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity");
    }
    if (op == "In" || op == "NotIn") {
      if (expression["values"].empty()) {
        report.required(path + ".values",
                        "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector");
      }
    } else if (op == "Exists" || op == "DoesNotExist") {
      if (!expression["values"].empty()) {
        report.invalid(path + ".values", expression["values"],
                       "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector");
      }
    } else {
      report.invalid(path + ".operator", op, "not a valid selector operator");
    }
    seen.insert(scope);
  }
  if (conflict(seen)) report.invalid(path, spec["scopes"], "conflicting scopes");
}

std::set<std::string> scope_set(const Value& spec) {
  std::set<std::string> out;
  for (const Value& scope : spec["scopes"]) out.insert(scope.str());
  return out;
}

}  // namespace

void validate_container_resource_name(Report& report, const Path& path, std::string_view name) {
  static constexpr const char* kContainers[] = {"cpu", "ephemeral-storage", "memory"};
  validate_resource_name(report, path, name);
  if (!is_qualified(name)) {
    if (!is_among(name, kContainers) && !api::is_huge_pages(name))
      report.invalid(path, name, "must be a standard resource for containers");
  } else if (!api::is_native_resource(name) && !is_extended_resource(name)) {
    report.invalid(path, name, "doesn't follow extended resource name standard");
  }
}

void validate_limit_range(Report& report, const Value& object) {
  std::set<std::string> types;
  std::size_t index = 0;
  for (const Value& item : object["spec"]["limits"]) {
    const std::string path = at("spec.limits", index++);
    validate_limit_type(report, path + ".type", item["type"]);
    if (!types.insert(item["type"].str()).second) report.duplicate(path + ".type", item["type"]);
    validate_limit_item(report, path, item);
  }
}

void validate_quota(Report& report, const Value& object) {
  validate_hard(report, "spec.hard", object["spec"]["hard"]);
  validate_scopes(report, object["spec"]);
  validate_scope_selector(report, object["spec"]);
}

void validate_quota_update(Report& report, const Value& before, const Value& after) {
  validate_metadata_update(report, before["metadata"], after["metadata"]);
  if (scope_set(before["spec"]) != scope_set(after["spec"]))
    report.invalid("spec.scopes", after["spec"]["scopes"], "field is immutable");
}

void validate_quota_status(Report& report, const Value&, const Value& after) {
  validate_hard(report, "status.hard", after["status"]["hard"]);
  validate_hard(report, "status.used", after["status"]["used"]);
}

}  // namespace berth::apiserver::validation
