#include "api/schema/feature_gates.h"

#include <algorithm>
#include <set>
#include <vector>

#include "base/check.h"
#include "base/text.h"

namespace berth {
std::vector<std::pair<std::string_view, std::string_view>> embedded_feature_gates();
}

namespace berth::api::schema {
namespace {

// Those that Berth acts upon in both positions.
constexpr std::string_view kObeyed[] = {"ContainerStopSignals", "MaxUnavailableStatefulSet"};

std::map<std::string, bool, std::less<>> defaults() {
  std::map<std::string, bool, std::less<>> out;
  for (const auto& [file, text] : embedded_feature_gates()) {
    for (std::string_view line : split(text, '\n')) {
      if (line.empty() || line.starts_with('#')) continue;
      const std::vector<std::string_view> words = split(line, ' ');
      BERTH_CHECK(words.size() == 3 && (words[2] == "on" || words[2] == "off"),
                  "schema/*.gates: a line is not NAME STAGE on|off");
      out.emplace(words[0], words[2] == "on");
    }
  }
  return out;
}

using Names = std::set<std::string_view>;

void collect(const Type& type, const Value& object, Names& found);
void collect_field(const Field& field, const Value& value, Names& found) {
  if (field.element) {
    for (const Value& element : value) collect_field(*field.element, element, found);
    for (auto [key, element] : value.entries()) collect_field(*field.element, element, found);
  } else if (field.type && field.type->gated) {
    collect(*field.type, value, found);
  }
}
void collect(const Type& type, const Value& object, Names& found) {
  for (const Field& field : type.fields) {
    const Value& value = object[field.name];
    if (value.is_null()) continue;
    if (!field.gate.empty()) found.insert(field.gate);
    collect_field(field, value, found);
  }
}

class Dropper {
 public:
  Dropper(const FeatureGates& gates, Names kept) : gates_(gates), kept_(std::move(kept)) {}

  void object(const Type& type, Value& value) const {
    if (!type.gated || !value.is_object()) return;
    for (const Field& field : type.fields) {
      const Value& member = value[field.name];
      if (member.is_null()) continue;
      if (!field.gate.empty() && !gates_.enabled(field.gate) && !kept_.contains(field.gate)) {
        value.erase(field.name);
        continue;
      }
      const Type* inner = inner_type(field);
      if (!inner || !inner->gated) continue;
      Value changed = member;
      below(field, changed);
      if (changed.same_node(member)) continue;
      // An optional object that had fields of such gates alone goes with them.
      if (changed.empty() && field.pointer) {
        value.erase(field.name);
      } else {
        value.set(field.name, std::move(changed));
      }
    }
  }

 private:
  static const Type* inner_type(const Field& field) {
    const Field* at = &field;
    while (at->element) at = at->element.get();
    return at->type;
  }
  void below(const Field& field, Value& value) const {
    if (!field.element) return object(*field.type, value);
    for (std::size_t i = 0; value.is_array() && i < value.size(); ++i) {
      Value element = value[i];
      below(*field.element, element);
      if (!element.same_node(value[i])) value.mut(i) = std::move(element);
    }
    if (!value.is_object()) return;
    const Value members = value;
    for (auto [key, member] : members.entries()) {
      Value element = member;
      below(*field.element, element);
      if (!element.same_node(member)) value.set(key, std::move(element));
    }
  }

  const FeatureGates& gates_;
  Names kept_;
};

}  // namespace

FeatureGates::FeatureGates() {
  static const auto kDefaults = defaults();
  enabled_ = kDefaults;
}

Result<void> FeatureGates::set(std::string_view text) {
  auto wanted = enabled_;
  static const auto kDefaults = defaults();
  for (std::string_view part : split(text, ',')) {
    if (trim(part).empty()) continue;
    const Cut pair = cut(trim(part), "=");
    if (!pair.found || (pair.after != "true" && pair.after != "false")) {
      return error(Code::kInvalid, "--feature-gates: expected NAME=true or NAME=false, found " + quoted(part));
    }
    auto known = kDefaults.find(pair.before);
    if (known == kDefaults.end())
      return error(Code::kInvalid, "--feature-gates: Kubernetes 1.36 has no feature gate " + quoted(pair.before));
    const bool on = pair.after == "true";
    const bool obeyed = std::find(std::begin(kObeyed), std::end(kObeyed), pair.before) != std::end(kObeyed);
    if (on != known->second && !obeyed) {
      std::vector<std::string> names(std::begin(kObeyed), std::end(kObeyed));
      return error(Code::kInvalid, "--feature-gates: " + std::string(pair.before) + " is always " +
                                       (known->second ? "on" : "off") +
                                       " in Berth; these can be set: " + join(names, ", "));
    }
    wanted[std::string(pair.before)] = on;
  }
  enabled_ = std::move(wanted);
  return {};
}

bool FeatureGates::enabled(std::string_view name) const {
  auto at = enabled_.find(name);
  return at != enabled_.end() && at->second;
}

void drop_disabled(const Kind& kind, const FeatureGates& gates, const Value& before, Value& object) {
  if (!kind.type->gated) return;
  Names present, kept;
  collect(*kind.type, object, present);
  if (std::all_of(present.begin(), present.end(), [&](std::string_view name) { return gates.enabled(name); })) return;
  if (!before.is_null()) collect(*kind.type, before, kept);
  Dropper(gates, std::move(kept)).object(*kind.type, object);
}

}  // namespace berth::api::schema
