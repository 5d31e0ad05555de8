#pragma once
// What the containers of a pod may take: as its spec asks for, as the node has granted it, as it is in force. Pure.
//
// A grant is {"pod": resources, "containers": {name: resources}}; "pod" is there where the spec states resources of the
// whole pod.

#include <optional>
#include <string>
#include <string_view>

#include "agent/pod/pod_record.h"
#include "agent/pod/services.h"
#include "api/resource_list.h"
#include "base/json/json.h"

namespace berth::agent {

// What the spec asks for.
Value grant_of(const Value& spec);
// The pod as it would be if its spec asked for what is granted.
Value with_grant(Value pod, const Value& grant);

// What the container has been granted, and what it runs with.
const Value& granted_to(const PodRecord& record, const Value& container);
const Value& in_force_for(const PodRecord& record, const Value& container);

// Whether its policy wants the container to be restarted for the change.
bool resize_restarts(const Value& container, const Value& from, const Value& to);

// `pod` asks for what it would like to have; `used`: the requests of the node's other pods.
std::optional<ResizeRefusal> refuse_resize(const Value& pod, const api::ResourceList& allocatable,
                                           const api::ResourceList& used);

// Of each limit the larger; none where either has none.
Limits larger(const Limits& a, const Limits& b);

// "Pod resize started: {...}".
std::string resize_text(std::string_view what, const Value& pod, const Value& grant, const std::string& failure = {});

}  // namespace berth::agent
