// HorizontalPodAutoscalers have two API forms and one storage: autoscaling/v1 ones are stored as v2.
#include "api/autoscaler_versions.h"
#include "apiserver/registry/kind_strategy.h"

namespace berth::apiserver::registry {
namespace {

Value to_v2(Value object) {
  object = api::autoscaler_to_v2(std::move(object));
  api::schema::apply_defaults(*api::schema::builtin().find_kind("autoscaling/v2", "HorizontalPodAutoscaler"), object);
  return object;
}

constexpr KindConversion kConversion{"autoscaling/v2", "HorizontalPodAutoscaler", to_v2, api::autoscaler_to_v1};

// autoscaling/v1 has parts of the status in annotations: only writes of "status" change them.
void retain_annotated_status(Registry::State&, const Value& before, Value& after) {
  for (const char* key :
       {"autoscaling.alpha.kubernetes.io/conditions", "autoscaling.alpha.kubernetes.io/current-metrics"}) {
    const Value& present = before["metadata"]["annotations"][key];
    if (!present.is_null()) {
      after.mut("metadata").mut("annotations").set(key, present);
    } else if (after["metadata"]["annotations"].contains(key)) {
      after.mut("metadata").mut("annotations").erase(key);
    }
  }
}

void prepare_v1(const CreateContext&, Value& object) {
  object.set("status", Value::object({{"desiredReplicas", 0}, {"currentReplicas", 0}}));
}

void prepare_v2(const CreateContext&, Value& object) {
  object.set("status", Value::object({{"desiredReplicas", 0}, {"currentMetrics", Value()}}));
}

}  // namespace

std::span<const KindStrategy> autoscaler_rows() {
  static const KindStrategy kRows[] = {{.group = "autoscaling",
                                        .kind = "HorizontalPodAutoscaler",
                                        .version = "v1",
                                        .conversion = &kConversion,
                                        .prepare_create = prepare_v1,
                                        .prepare_update = retain_annotated_status,
                                        .status_takes_metadata = true},
                                       {.group = "autoscaling",
                                        .kind = "HorizontalPodAutoscaler",
                                        .prepare_create = prepare_v2,
                                        .prepare_update = retain_annotated_status,
                                        .status_takes_metadata = true}};
  return kRows;
}

}  // namespace berth::apiserver::registry
