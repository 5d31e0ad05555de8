#include "sim/scenarios/forms.h"

#include "api/object.h"

namespace berth::sim {
namespace {

Value from(const char* text) { return json::parse(text).value(); }

// Sets a field with probability `given`.
void maybe(World& world, Value& object, std::string_view field, double given, Value value) {
  if (world.chance(given)) object.set(field, std::move(value));
}

Value count(std::uint64_t number) { return Value(static_cast<int>(number)); }

void leave_out(Value& object, std::string_view field, const Value& when) {
  if (object[field] == when) object.erase(field);
}

}  // namespace

Value any_strategy(World& world, bool patch) {
  Value strategy = Value::object();
  if (world.chance(0.15)) return from(patch ? R"({"type":"OnDelete","rollingUpdate":null})" : R"({"type":"OnDelete"})");
  const bool typed = world.chance(0.8);
  if (typed) strategy.set("type", "RollingUpdate");
  if (world.chance(0.35)) {
    // Without fields for the rolling update: the same as partition 0.
    if (patch) return typed ? strategy.set("rollingUpdate", Value()) : strategy;
    return world.chance(0.3) ? Value() : strategy;
  }
  Value rolling = Value::object();
  if (world.chance(0.3)) {
    rolling.set("partition", count(world.below(4)));
  } else if (patch || world.chance(0.5)) {
    rolling.set("partition", 0);
  }
  constexpr const char* kMissing[] = {"1", "2", "3", "\"60%\""};
  if (world.chance(0.5)) rolling.set("maxUnavailable", from(kMissing[world.below(std::size(kMissing))]));
  strategy.set("rollingUpdate", std::move(rolling));
  if (patch) strategy.set("type", "RollingUpdate");
  return strategy;
}

Value any_retention(World& world) {
  if (world.chance(0.15)) return Value();
  Value policy = Value::object();
  for (const char* when : {"whenDeleted", "whenScaled"})
    maybe(world, policy, when, 0.75, world.chance(0.5) ? "Retain" : "Delete");
  return policy;
}

Value any_ordinals(World& world) {
  if (world.chance(0.5)) return Value();
  return world.chance(0.2) ? Value::object() : Value::object({{"start", count(world.below(4))}});
}

Value any_template_spec(World& world) {
  Value spec = from(
      R"({"terminationGracePeriodSeconds":2,"containers":[{"name":"c","image":"i:1","env":[{"name":"ROLE","value":"all"}]}]})");
  maybe(world, spec, "restartPolicy", 0.3, "Always");
  maybe(world, spec, "dnsPolicy", 0.3, "ClusterFirst");
  maybe(world, spec, "schedulerName", 0.3, "default-scheduler");
  maybe(world, spec, "securityContext", 0.3, Value::object());
  // Not 0: such pods leave the API before their processes have ended, as in Kubernetes.
  if (world.chance(0.2)) spec.set("terminationGracePeriodSeconds", 1);
  if (world.chance(0.3))
    spec.set("tolerations", from(R"([{"key":"sim","operator":"Exists","effect":"NoExecute","tolerationSeconds":3}])"));
  return spec;
}

void spell_out(World& world, Value& spec, bool ordered) {
  maybe(world, spec, "serviceName", 0.8, world.chance(0.9) ? "svc" : "");
  maybe(world, spec, "revisionHistoryLimit", 0.7, count(world.chance(0.3) ? 10 : world.below(3)));
  if (!ordered) {
    spec.set("podManagementPolicy", "Parallel");
  } else {
    maybe(world, spec, "podManagementPolicy", 0.5, "OrderedReady");
  }
  maybe(world, spec, "minReadySeconds", 0.4, count(world.chance(0.5) ? 0 : 3));
  if (Value strategy = any_strategy(world, false); !strategy.is_null()) spec.set("updateStrategy", std::move(strategy));
  if (Value ordinals = any_ordinals(world); !ordinals.is_null()) spec.set("ordinals", std::move(ordinals));
  if (Value policy = any_retention(world); !policy.is_null())
    spec.set("persistentVolumeClaimRetentionPolicy", std::move(policy));
}

Value as_stored_before(const Value& object) {
  Value out = object;
  const std::string_view kind = object["kind"].as_string();
  if (kind == "ControllerRevision") {
    Value& spec = out.mut("data").mut("spec").mut("template").mut("spec");
    for (const char* field : {"dnsPolicy", "schedulerName", "securityContext"}) spec.erase(field);
    return out;
  }
  if (kind != "StatefulSet") return {};
  Value& spec = out.mut("spec");
  leave_out(spec, "podManagementPolicy", "OrderedReady");
  leave_out(spec, "revisionHistoryLimit", 10);
  leave_out(spec, "persistentVolumeClaimRetentionPolicy", from(R"({"whenDeleted":"Retain","whenScaled":"Retain"})"));
  leave_out(spec, "replicas", 1);
  if (spec["updateStrategy"].is_object()) {
    Value& strategy = spec.mut("updateStrategy");
    // Releases without feature gates stored the default.
    if (strategy["rollingUpdate"]["partition"].as_int() > 0 && strategy["rollingUpdate"]["maxUnavailable"].is_null())
      strategy.mut("rollingUpdate").set("maxUnavailable", 1);
    leave_out(strategy, "rollingUpdate", from(R"({"partition":0})"));
    leave_out(strategy, "type", "RollingUpdate");
    leave_out(spec, "updateStrategy", Value::object());
  }
  return out;
}

}  // namespace berth::sim
