#pragma once
// Resources of a pod's containers: as the spec requests them, as the node has granted them, as they are in force. Pure.
//
// A grant is {"pod": resources, "containers": {name: resources}}; "pod" is present where the spec has
// resources at pod level.

#include <optional>
#include <string>
#include <string_view>

#include "agent/pod/pod_record.h"
#include "agent/pod/services.h"
#include "api/resource_list.h"
#include "base/json/json.h"

namespace berth::agent {

// The resources in the spec.
Value grant_of(const Value& spec);
// The pod with the granted resources in its spec.
Value with_grant(Value pod, const Value& grant);

// The container's resources: as granted, and as it runs with them.
const Value& granted_to(const PodRecord& record, const Value& container);
const Value& in_force_for(const PodRecord& record, const Value& container);

// Whether the container's resizePolicy asks for a restart for the change.
bool resize_restarts(const Value& container, const Value& from, const Value& to);

// Why the node cannot grant what the pod's spec requests. `used`: the requests of the node's other pods.
std::optional<ResizeRefusal> refuse_resize(const Value& pod, const api::ResourceList& allocatable,
                                           const api::ResourceList& used);

// The larger of each limit; no limit where either has none.
Limits larger(const Limits& a, const Limits& b);

// "Pod resize started: {...}".
std::string resize_text(std::string_view what, const Value& pod, const Value& grant, const std::string& failure = {});

}  // namespace berth::agent
