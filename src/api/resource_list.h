#pragma once
// ResourceList: amounts by resource name, and what a pod asks for in all. Pure.

#include <map>
#include <string>
#include <string_view>

#include "api/quantity.h"
#include "base/json/json.h"

namespace berth::api {

using ResourceList = std::map<std::string, Quantity, std::less<>>;

// The amount of a resource; zero where there is none.
Quantity amount_of(const ResourceList& list, std::string_view resource);
// An amount as messages show it: of cpu in thousandths, of others in units.
std::int64_t shown_amount(std::string_view resource, const Quantity& amount);
// Of a JSON map from names to quantities; what cannot be read is left out.
ResourceList resource_list(const Value& map);
Value to_value(const ResourceList& list);
void add(ResourceList& to, const ResourceList& from);
// The larger of the two for every name.
void raise(ResourceList& to, const ResourceList& from);

// What a pod's containers need: those and sidecars at once, or one init container beside the sidecars started before
// it, whichever is more. `which`: "requests" or "limits".
ResourceList container_resources(const Value& spec, std::string_view which);
// What a whole pod needs: its containers', replaced by what the pod states for itself; its overhead on top. Of limits,
// the overhead counts only where there is a limit already.
ResourceList pod_resources(const Value& pod, std::string_view which);
// Resources that a pod may state as a whole: cpu, memory, huge pages.
bool is_pod_level(std::string_view resource);
// Whether the pod states requests or limits of its own, beside those of its containers.
bool has_pod_level_resources(const Value& pod);

}  // namespace berth::api
