#include "apiserver/admission/pod_security.h"

#include <algorithm>
#include <map>

#include "api/status.h"
#include "apiserver/validation/pod/pod_security.h"
#include "base/text.h"

namespace berth::apiserver::admission {
namespace {

using validation::security_policies;
using validation::security_violations;
using validation::SecurityLevel;
using validation::SecurityPolicies;
using validation::SecurityPolicy;
using validation::SecurityViolations;
using Warnings = std::vector<std::string>;

SecurityPolicies policies_of(const Request& request) {
  const store::RecordPtr found = request.objects.find(api::resources::kNamespaces, "", request.ns);
  return found ? security_policies(found->value["metadata"]["labels"], nullptr) : SecurityPolicies{};
}

std::string would(const SecurityPolicy& policy, const SecurityViolations& violations) {
  return "violate PodSecurity " + quoted(policy.text()) + ": " + violations.details();
}

// Whether an update of a pod is checked: it changes an image, the containers or a seccomp profile.
bool is_significant(const Value& before, const Value& after) {
  auto annotation = [](const Value& pod, const std::string& key) { return pod["metadata"]["annotations"][key].str(); };
  const std::string pod_key = "seccomp.security.alpha.kubernetes.io/pod",
                    container_key = "container.seccomp.security.alpha.kubernetes.io/";
  if (annotation(before, pod_key) != annotation(after, pod_key)) return true;
  for (const char* list : {"containers", "initContainers", "ephemeralContainers"}) {
    const Value &old_list = before["spec"][list], &new_list = after["spec"][list];
    if (old_list.size() != new_list.size()) return true;
    for (std::size_t i = 0; i < new_list.size(); ++i) {
      const std::string key = container_key + new_list[i]["name"].str();
      if (old_list[i]["image"] != new_list[i]["image"] || annotation(before, key) != annotation(after, key))
        return true;
    }
  }
  return false;
}

void warn_of(const SecurityPolicy& policy, const Value& metadata, const Value& spec, Warnings& warnings) {
  const SecurityViolations found = security_violations(policy, metadata, spec);
  if (!found.empty()) warnings.push_back("would " + would(policy, found));
}

// Warns of existing pods that violate the policy: each complaint once, with the first pod that has it.
void warn_of_pods(const ObjectReader& objects, const std::string& ns, const SecurityPolicy& policy,
                  Warnings& warnings) {
  constexpr std::size_t kMost = 3000;
  struct Count {
    std::string first;
    std::size_t pods = 0;
  };
  std::map<std::string, Count> counts;
  const std::vector<store::RecordPtr> pods = objects.list(api::resources::kPods, ns);
  const std::size_t checked = std::min(pods.size(), kMost);
  for (std::size_t i = 0; i < checked; ++i) {
    const Value& pod = pods[i]->value;
    const SecurityViolations found = security_violations(policy, pod["metadata"], pod["spec"]);
    if (found.empty()) continue;
    Count& count = counts[found.reasons()];
    const std::string name(api::name_of(pod));
    if (count.pods++ == 0 || name < count.first) count.first = name;
  }
  if (checked < pods.size()) {
    warnings.push_back("new PodSecurity enforce level only checked against the first " + std::to_string(checked) +
                       " of " + std::to_string(pods.size()) + " existing pods");
  }
  if (counts.empty()) return;
  warnings.push_back("existing pods in namespace " + quoted(ns) + " violate the new PodSecurity enforce level " +
                     quoted(policy.text()));
  Warnings texts;
  for (const auto& [reasons, count] : counts) {
    const std::string others = count.pods == 1   ? ""
                               : count.pods == 2 ? " (and 1 other pod)"
                                                 : " (and " + std::to_string(count.pods - 1) + " other pods)";
    texts.push_back(count.first + others + ": " + reasons);
  }
  std::sort(texts.begin(), texts.end());
  warnings.insert(warnings.end(), texts.begin(), texts.end());
}

std::string joined(const std::vector<Cause>& causes) {
  std::vector<std::string> texts;
  for (const Cause& cause : causes) texts.push_back(cause.field + ": " + cause.message);
  return texts.size() == 1 ? texts[0] : "[" + join(texts, ", ") + "]";
}

}  // namespace

Status check_namespace_security(const Change& change) {
  if (!change.request.subresource.empty()) return ok_status();
  const Value &before = change.before, &after = change.after;
  std::vector<Cause> problems, old_problems;
  const SecurityPolicies policies = security_policies(after["metadata"]["labels"], &problems);
  const SecurityPolicies old_policies = security_policies(before["metadata"]["labels"], &old_problems);
  if (!problems.empty() && (before.is_null() || old_problems.empty() || joined(problems) != joined(old_problems))) {
    Error e = api::forbidden(api::resources::kNamespaces, api::name_of(after), joined(problems));
    e.code = Code::kInvalid;
    return e;
  }
  if (before.is_null() || policies.enforce == old_policies.enforce ||
      policies.enforce.level == SecurityLevel::kPrivileged)
    return ok_status();
  if (policies.enforce.minor == old_policies.enforce.minor && policies.enforce.level <= old_policies.enforce.level)
    return ok_status();
  warn_of_pods(change.request.objects, std::string(api::name_of(after)), policies.enforce, change.warnings);
  return ok_status();
}

Status check_pod_security(const Change& change) {
  const std::string_view subresource = change.request.subresource;
  const bool changes_containers = subresource == "ephemeralcontainers" || subresource == "resize";
  if (!subresource.empty() && !changes_containers) return ok_status();
  const Value& pod = change.after;
  if (!change.creates() && !is_significant(change.before, pod)) return ok_status();
  const SecurityPolicies policies = policies_of(change.request);
  const SecurityViolations found = security_violations(policies.enforce, pod["metadata"], pod["spec"]);
  if (!found.empty()) {
    return api::forbidden(api::resources::kPods, api::name_of(pod),
                          "violates PodSecurity " + quoted(policies.enforce.text()) + ": " + found.details());
  }
  warn_of(policies.warn, pod["metadata"], pod["spec"], change.warnings);
  return ok_status();
}

void warn_of_template_security(const Change& change, const Value& pod_template) {
  if (!change.request.subresource.empty() || !pod_template.is_object()) return;
  warn_of(policies_of(change.request).warn, pod_template["metadata"], pod_template["spec"], change.warnings);
}

}  // namespace berth::apiserver::admission
