#pragma once
// What Kubernetes 1.36 says of pods and of what makes pods, where it accepts them. Pure; any thread.

#include <string>
#include <vector>

#include "api/schema/schema.h"
#include "apiserver/validation/path.h"
#include "base/json/json.h"

namespace berth::apiserver::validation {

// Of a new object that is valid, after defaulting and admission.
std::vector<std::string> warnings_on_create(const api::schema::Kind& kind, const Value& object);
// Of a change of the main resource; only what concerns pods and their templates, where these changed.
std::vector<std::string> warnings_on_update(const api::schema::Kind& kind, const Value& before, const Value& after);

using Warnings = std::vector<std::string>;
// Of a pod spec at `path` ("spec", "spec.template.spec") with the pod's or template's metadata. pod_warnings.cc.
void warn_of_pod_spec(Warnings& warnings, const Path& spec_path, const Path& metadata_path, const Value& spec,
                      const Value& metadata, bool is_template);
// Of the spec of a claim.
void warn_of_claim_spec(Warnings& warnings, const Path& path, const Value& spec);

}  // namespace berth::apiserver::validation
