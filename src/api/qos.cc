#include "api/qos.h"

#include "api/quantity.h"

namespace berth::api {

std::string qos_class(const Value& pod) {
  bool any = false, guaranteed = true;
  auto count = [&](const Value& resources) {
    const Value &limits = resources["limits"], &requests = resources["requests"];
    for (const char* resource : {"cpu", "memory"}) {
      Result<Quantity> limit = Quantity::parse(limits[resource].as_string()),
                       request = Quantity::parse(requests[resource].as_string());
      bool limited = limit.ok() && limit->sign() > 0, requested = request.ok() && request->sign() > 0;
      any = any || limited || requested;
      guaranteed = guaranteed && limited && (!requested || *request == *limit);
    }
  };
  const Value& spec = pod["spec"];
  if (spec["resources"].is_object()) {
    count(spec["resources"]);  // those of the pod decide, where it has any, even empty ones
  } else {
    for (const char* list : {"containers", "initContainers"}) {
      for (const Value& container : spec[list]) count(container["resources"]);
    }
  }
  if (!any) return "BestEffort";
  return guaranteed ? "Guaranteed" : "Burstable";
}

}  // namespace berth::api
