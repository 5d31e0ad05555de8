#include "api/schema/default_plan.h"

#include <algorithm>
#include <set>

#include "api/quantity.h"
#include "api/schema/default_rules.h"

namespace berth::api::schema {
namespace {

bool has_default(const Field& field) { return !field.default_value.is_null(); }
// Amounts of the core group's types are rounded; others (a RuntimeClass's overhead) stay as they are.
bool is_rounded(const Type& type, const Field& field) {
  return field.shape == Shape::kMap && field.element->shape == Shape::kQuantity &&
         type.name.starts_with("io.k8s.api.core.");
}
// The type of the objects held directly, or as elements of a list or map; null: none.
const Type* member_type(const Field& field) {
  if (field.shape == Shape::kObject) return field.type;
  if ((field.shape == Shape::kList || field.shape == Shape::kMap) && field.element->shape == Shape::kObject) {
    return field.element->type;
  }
  return nullptr;
}

bool own_work(const Type& type) {
  return rule_of(type.name) || std::any_of(type.fields.begin(), type.fields.end(), [&](const Field& field) {
           return has_default(field) || is_rounded(type, field);
         });
}

bool reaches_work(const Type& type, std::set<const Type*>& seen) {
  if (!seen.insert(&type).second) return false;
  if (own_work(type)) return true;
  return std::any_of(type.fields.begin(), type.fields.end(), [&](const Field& field) {
    const Type* member = member_type(field);
    return member && reaches_work(*member, seen);
  });
}

// No more than three decimals: amounts are kept in thousandths, rounded up.
void round_to_milli(Value& list) {
  Value rounded;
  for (json::Entry entry : list.entries()) {
    std::string_view text = entry.value.as_string();
    if (text.empty() || text.find_first_of("nu.e") == std::string_view::npos) continue;
    auto quantity = Quantity::parse(text);
    if (!quantity) continue;
    Quantity milli = Quantity::of_milli(quantity->milli_value(), quantity->format());
    if (!(*quantity < milli)) continue;  // exact (or beyond what milli_value can say)
    if (rounded.is_null()) rounded = list;
    rounded.set(entry.key, milli.to_string());
  }
  if (!rounded.is_null()) list = std::move(rounded);
}

template <class F>
void edit_elements(const Value& in, Value& out, F edit) {
  for (std::size_t i = 0; i < in.size(); ++i) {
    Value copy = in[i];
    edit(copy);
    if (copy.same_node(in[i])) continue;
    if (out.is_null()) out = in;
    out.mut(i) = std::move(copy);
  }
}

template <class F>
void edit_members(const Value& in, Value& out, F edit) {
  for (json::Entry entry : in.entries()) {
    Value copy = entry.value;
    edit(copy);
    if (copy.same_node(entry.value)) continue;
    if (out.is_null()) out = in;
    out.set(entry.key, std::move(copy));
  }
}

}  // namespace

void DefaultPlan::apply(Value& object) const {
  if (!object.is_object()) return;
  if (rule) rule(object);
  for (const Step& step : steps) {
    const Value& member = object[step.field->name];
    if (member.is_null()) {
      if (step.action == Step::kSetDefault) object.set(step.field->name, step.field->default_value);
      continue;
    }
    Value changed;
    switch (step.action) {
      case Step::kSetDefault: break;
      case Step::kObject:
        changed = member;
        step.plan->apply(changed);
        break;
      case Step::kListOf: edit_elements(member, changed, [&](Value& element) { step.plan->apply(element); }); break;
      case Step::kMapOf: edit_members(member, changed, [&](Value& element) { step.plan->apply(element); }); break;
      case Step::kResourceList:
        changed = member;
        round_to_milli(changed);
        break;
    }
    if (!changed.is_null() && !changed.same_node(member)) object.set(step.field->name, std::move(changed));
  }
}

const DefaultPlan* DefaultPlans::plan_of(const Type& type) {
  if (auto at = plans_.find(&type); at != plans_.end()) return at->second.get();
  std::set<const Type*> seen;
  if (!reaches_work(type, seen)) return nullptr;
  DefaultPlan* plan = plans_.emplace(&type, std::make_unique<DefaultPlan>()).first->second.get();
  plan->rule = rule_of(type.name);
  for (const Field& field : type.fields) {
    using Step = DefaultPlan::Step;
    if (has_default(field)) plan->steps.push_back(Step{&field, Step::kSetDefault, nullptr});
    if (is_rounded(type, field)) plan->steps.push_back(Step{&field, Step::kResourceList, nullptr});
    const Type* member = member_type(field);
    const DefaultPlan* below = member ? plan_of(*member) : nullptr;
    if (!below) continue;
    auto action = field.shape == Shape::kObject ? Step::kObject
                  : field.shape == Shape::kList ? Step::kListOf
                                                : Step::kMapOf;
    plan->steps.push_back(Step{&field, action, below});
  }
  return plan;
}

void apply_defaults(const Kind& kind, Value& object) {
  if (kind.type->defaults) kind.type->defaults->apply(object);
}

void apply_pod_spec_defaults(Value& pod_spec) {
  static const Type* const kPodSpec = builtin().find_type("io.k8s.api.core.v1.PodSpec");
  kPodSpec->defaults->apply(pod_spec);
}

}  // namespace berth::api::schema
