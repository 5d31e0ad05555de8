#include "controllers/shared/pod_condition.h"

#include "base/time/time.h"

namespace berth::controllers {

Action pod_condition(const Value& pod, std::string_view type, std::string_view status, std::string_view reason,
                     std::string_view message, Time now, std::string_view phase) {
  Value change = Value::object();
  if (!type.empty()) {
    Value condition = Value::object(
        {{"type", type}, {"status", status}, {"lastProbeTime", nullptr}, {"lastTransitionTime", format_time(now)}});
    if (!reason.empty()) condition.set("reason", reason);
    if (!message.empty()) condition.set("message", message);
    if (!pod["metadata"]["generation"].is_null()) condition.set("observedGeneration", pod["metadata"]["generation"]);
    change.set("conditions", Value::array({condition}));
  }
  if (!phase.empty()) change.set("phase", phase);
  Action action =
      patch(api::resources::kPods, pod, api::PatchType::kStrategic, Value::object({{"status", std::move(change)}}));
  action.subresource = "status";
  return action;
}

}  // namespace berth::controllers
