#pragma once
// Warnings of Kubernetes 1.36 about pods and pod templates that it accepts. Pure; any thread.

#include <string>
#include <vector>

#include "apiserver/validation/path.h"
#include "base/json/json.h"

namespace berth::apiserver::validation {

using Warnings = std::vector<std::string>;
// Of a pod spec at `path` ("spec", "spec.template.spec") with the pod's or template's metadata. pod_warnings.cc.
void warn_of_pod_spec(Warnings& warnings, const Path& spec_path, const Path& metadata_path, const Value& spec,
                      const Value& metadata, bool is_template);
// Of the spec of a claim.
void warn_of_claim_spec(Warnings& warnings, const Path& path, const Value& spec);

}  // namespace berth::apiserver::validation
