#pragma once
// The Pod Security Standards of Kubernetes 1.36: the policies of a namespace's labels, and a pod's violations of one.
// Pure.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json/json.h"
#include "base/result.h"

namespace berth::apiserver::validation {

enum class SecurityLevel { kPrivileged, kBaseline, kRestricted };  // each is stricter than the one before

struct SecurityPolicy {
  SecurityLevel level = SecurityLevel::kPrivileged;
  int minor = kLatest;  // of the version of the standards, "v1.24"
  static constexpr int kLatest = 1'000'000;
  bool operator==(const SecurityPolicy&) const = default;
  std::string text() const;  // "restricted:v1.24", "baseline:latest"
};
struct SecurityPolicies {
  SecurityPolicy enforce, audit, warn;
};

// From the labels pod-security.kubernetes.io/{enforce,audit,warn}[-version]. One that cannot be read counts as
// restricted, or as latest (a level of audit and warn: as privileged), and is appended to `problems` (may be null).
SecurityPolicies security_policies(const Value& labels, std::vector<Cause>* problems);

struct SecurityViolations {
  std::vector<std::pair<std::string, std::string>> found;  // reason, detail
  bool empty() const { return found.empty(); }
  std::string reasons() const;  // "hostPort, privileged"
  std::string details() const;  // "hostPort (container "c" uses hostPort 80), privileged (...)"
};
// Of a pod, or of a template's metadata and spec.
SecurityViolations security_violations(const SecurityPolicy& policy, const Value& metadata, const Value& spec);

}  // namespace berth::apiserver::validation
