#include "sim/scenarios/options.h"

#include <algorithm>
#include <string>

#include "api/object.h"
#include "api/set_options.h"

namespace berth::sim {
namespace {

const char* any(World& world, std::initializer_list<const char*> words) {
  return *(words.begin() + world.below(words.size()));
}

std::string any_range(World& world) {
  const auto first = world.below(6);
  return std::to_string(first) + (world.chance(0.3) ? "-" + std::to_string(first + 1 + world.below(2)) : "");
}

Value any_override(World& world) {
  Value container = Value::object({{"name", "c"}});
  if (world.chance(0.4)) container.set("image", any(world, {"i:1", "i:2", "i:3", "i:never", "i:loop"}));
  if (world.chance(0.4))
    container.set("resources", Value::object({{"limits", Value::object({{"cpu", any(world, {"10m", "20m"})}})}}));
  if (world.chance(0.6)) {
    container.set(
        "env",
        Value::array({Value::object({{"name", any(world, {"ROLE", "ZONE"})}, {"value", any(world, {"a", "b"})}})}));
  }
  Value out = Value::object({{"containers", Value::array({std::move(container)})}});
  if (world.chance(0.2)) out.set("nodeSelector", Value::object({{"disk", "fast"}}));
  return out;
}

std::string any_value(World& world, std::string_view annotation) {
  if (annotation == api::kUpdateStrategy) return "Recreate";
  if (annotation == api::kMaxUnavailable) return any(world, {"1", "2", "3", "60%"});
  if (annotation == api::kSkipOrdinals) return any_range(world) + (world.chance(0.4) ? "," + any_range(world) : "");
  if (annotation != api::kOrdinalOverrides) return "true";
  Value all = Value::object();
  for (auto left = 1 + world.below(3); left > 0; --left) all.set(any_range(world), any_override(world));
  return json::encode(all);
}

constexpr std::size_t kMostTemplates = 3;

struct Likely {
  std::string_view annotation;
  double probability;
};
constexpr Likely kLikely[] = {{api::kOrderedTeardown, 0.5},  {api::kSkipOrdinals, 0.4},
                              {api::kOrdinalOverrides, 0.4}, {api::kUpdateStrategy, 0.3},
                              {api::kMaxUnavailable, 0.3},   {api::kClaimTemplateUpdates, 0.8}};

}  // namespace

Value any_options(World& world, bool templates) {
  Value out = Value::object();
  for (const auto& [annotation, probability] : kLikely) {
    if (annotation == api::kClaimTemplateUpdates && !templates) continue;
    if (world.chance(probability)) out.set(annotation, any_value(world, annotation));
  }
  return out;
}

Value changed_option(World& world, bool templates) {
  const std::size_t most = std::size(kLikely) - (templates ? 0 : 1);
  const auto& [annotation, probability] = kLikely[world.below(most)];
  const bool away = annotation != api::kClaimTemplateUpdates && world.chance(0.3);
  return Value::object({{annotation, away ? Value() : Value(any_value(world, annotation))}});
}

Value changed_claim_templates(World& world, Value templates) {
  const std::size_t at = world.below(std::min<std::size_t>(templates.size() + 1, kMostTemplates));
  if (at == templates.size()) {
    // Never a removed name again: its claims may be on other nodes than claims created since.
    const std::string name = "more" + std::to_string(world.steps());
    const Value size = Value::object({{"requests", Value::object({{"storage", any(world, {"1Gi", "2Gi"})}})}});
    templates.push(Value::object(
        {{"metadata", Value::object({{"name", name}})},
         {"spec", Value::object({{"accessModes", Value::array({"ReadWriteOnce"})}, {"resources", size}})}}));
    return templates;
  }
  if (world.chance(0.3)) {
    templates.erase(at);
    return templates;
  }
  Value& spec = templates.mut(at).mut("spec");
  if (world.chance(0.2)) {
    spec.set("volumeAttributesClassName", any(world, {"gold", "silver"}));
  } else {
    // a smaller size is refused
    spec.mut("resources").mut("requests").set("storage", std::to_string(1 + world.below(8)) + "Gi");
  }
  return templates;
}

Value any_budget_spec(World& world) {
  Value least = any(world, {"1", "2", "50%"}), most = any(world, {"1", "2", "50%"});
  for (Value* one : {&least, &most}) {
    if (one->as_string().size() == 1) *one = static_cast<int>(one->as_string()[0] - '0');
  }
  const bool counts_missing = world.chance(0.7);
  return Value::object(
      {{"maxUnavailable", counts_missing ? most : Value()}, {"minAvailable", counts_missing ? Value() : least}});
}

Value any_budget_annotations(World& world) {
  return Value::object({{api::kBudgetEverything, world.chance(0.85) ? Value("true") : Value()}});
}

}  // namespace berth::sim
