#pragma once
// What EndpointSlices and Endpoints have in common. Pure.

#include <string>
#include <string_view>

#include "base/json/json.h"

namespace berth::controllers::endpoint {

bool is_headless(const Value& service);
// [{name, port, protocol, appProtocol}], as the pod has them.
Value ports_for(const Value& service, const Value& pod);
// Alive and with an address; `leaving_too`: pods being deleted count.
bool serves_at_all(const Value& pod, bool leaving_too);
// "" where the pod has none of that family.
std::string address_of(const Value& pod, bool ipv6);
// The pod's name within the service's domain, or "".
std::string_view hostname_in(const Value& service, const Value& pod);
Value reference_to(const Value& pod);

}  // namespace berth::controllers::endpoint
