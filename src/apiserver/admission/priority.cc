#include "apiserver/admission/priority.h"

#include "api/status.h"

namespace berth::apiserver::admission {
namespace {

constexpr const char* kPreemptLower = "PreemptLowerPriority";

// The class with globalDefault; of several (written at once), the one with the lowest value.
Value default_class(const Request& request) {
  Value chosen;
  for (const store::RecordPtr& record : request.objects.list(api::resources::kPriorityClasses, "")) {
    if (!record->value["globalDefault"].as_bool()) continue;
    if (chosen.is_null() || record->value["value"].as_int() < chosen["value"].as_int()) chosen = record->value;
  }
  return chosen;
}

}  // namespace

Status admit_priority(const Request& request, Value& pod) {
  Value& spec = pod.mut("spec");
  auto refuse = [&](const std::string& why) { return api::forbidden(api::resources::kPods, api::name_of(pod), why); };
  const std::string named = spec["priorityClassName"].str();
  std::int64_t priority = 0;
  std::string policy = kPreemptLower;
  Value found;
  if (named.empty()) {
    found = default_class(request);
  } else {
    store::RecordPtr record = request.objects.find(api::resources::kPriorityClasses, "", named);
    if (!record) return refuse("no PriorityClass with name " + named + " was found");
    found = record->value;
  }
  if (!found.is_null()) {
    spec.set("priorityClassName", api::name_of(found));
    priority = found["value"].as_int();
    policy = found["preemptionPolicy"].str();
  }
  if (const Value& given = spec["priority"]; given.is_int() && given.as_int() != priority) {
    return refuse("the integer value of priority (" + std::to_string(given.as_int()) +
                  ") must not be provided in pod spec; priority admission controller computed " +
                  std::to_string(priority) + " from the given PriorityClass name");
  }
  spec.set("priority", priority);
  if (policy.empty()) return ok_status();
  if (const Value& given = spec["preemptionPolicy"]; !given.is_null() && given.as_string() != policy) {
    return refuse("the string value of PreemptionPolicy (" + given.str() +
                  ") must not be provided in pod spec; priority admission controller computed " + policy +
                  " from the given PriorityClass name");
  }
  spec.set("preemptionPolicy", policy);
  return ok_status();
}

Status admit_priority_class(const Request& request, Value& object) {
  if (!object["globalDefault"].as_bool()) return ok_status();
  const Value present = default_class(request);
  if (present.is_null() || api::name_of(present) == api::name_of(object)) return ok_status();
  return api::forbidden(api::resources::kPriorityClasses, api::name_of(object),
                        "PriorityClass " + std::string(api::name_of(present)) +
                            " is already marked as default. Only one default can exist");
}

Status check_priority_class_deletion(const Request& request) {
  if (request.name != "system-node-critical" && request.name != "system-cluster-critical") return ok_status();
  return api::forbidden(api::resources::kPriorityClasses, request.name,
                        "this is a system priority class and cannot be deleted");
}

}  // namespace berth::apiserver::admission
