#pragma once
// Functions that EndpointSlices and Endpoints share. Pure.

#include <string>
#include <string_view>

#include "base/json/json.h"

namespace berth::controllers::endpoint {

bool is_headless(const Value& service);
// [{name, port, protocol, appProtocol}], with the pod's port numbers.
Value ports_for(const Value& service, const Value& pod);
// True if the pod has not ended and has an address; `leaving_too`: pods being deleted count, too.
bool is_endpoint(const Value& pod, bool leaving_too);
// "" if the pod has no address of that family.
std::string address_of(const Value& pod, bool ipv6);
// The pod's name within the service's domain, or "".
std::string_view hostname_in(const Value& service, const Value& pod);
Value reference_to(const Value& pod);

}  // namespace berth::controllers::endpoint
