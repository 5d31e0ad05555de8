#pragma once
// What ResourceQuotas count, shared by admission (which charges) and the quota controller (which counts anew). Pure.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/object.h"
#include "api/resource_list.h"
#include "base/time/time.h"

namespace berth::api::quota {

// How much of each resource one object uses: "pods", "requests.cpu", "count/deployments.apps", ... At least its
// count/<resource>.<group>. A pod that has ended counts as an object only.
ResourceList usage(const Resource& resource, const Value& object, Time now);

// Of these resource names, those that objects of this kind can use.
std::vector<std::string> matching_resources(const Resource& resource, const std::vector<std::string>& names);

// Whether the object is in all scopes of the quota. Only pods and claims can be in any.
bool matches_scopes(const Value& quota, const Resource& resource, const Value& object);

// What a pod must state because the quota bounds it: "must specify limits.cpu for: a,b; requests.memory for: a", or "".
std::string missing_constraints(const std::vector<std::string>& resources, const Resource& resource,
                                const Value& object);

// When a terminating pod stops counting, where it has not: a quota's usage changes then by itself.
std::optional<Time> end_of_charge(const Resource& resource, const Value& object, Time now);

// Whether updates are charged too (the difference), not only creations.
bool charges_updates(const Resource& resource);

// "count/deployments.apps".
std::string count_name(const Resource& resource);
std::vector<std::string> names_of(const Value& map);
// The amounts of `list` that are named; "a=1,b=2" of a list; "a,b" of names. All sorted.
ResourceList masked(const ResourceList& list, const std::vector<std::string>& names);
std::string text_of(const ResourceList& list);

}  // namespace berth::api::quota
