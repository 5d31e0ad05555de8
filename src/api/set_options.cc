#include "api/set_options.h"

#include <algorithm>
#include <cstdint>

#include "api/object.h"
#include "base/text.h"
#include "base/yaml/yaml.h"

namespace berth::api {
namespace {

constexpr long kLastOrdinal = 1'000'000'000;
constexpr const char* kRangeForm = "must be ordinals and ranges of them, separated by commas (e.g. \"1,4-6\")";

bool parse_ordinal(std::string_view text, int& out) {
  text = trim(text);
  if (text.empty() || text.front() == '-' || text.front() == '+') return false;
  Result<long> number = parse_int(text);
  if (!number.ok() || *number > kLastOrdinal) return false;
  out = static_cast<int>(*number);
  return true;
}

bool parse_range(std::string_view text, OrdinalRange& out) {
  Cut ends = cut(text, "-");
  if (!parse_ordinal(ends.before, out.first)) return false;
  if (!ends.found) {
    out.last = out.first;
    return true;
  }
  return parse_ordinal(ends.after, out.last) && out.first <= out.last;
}

// The complaint about an override's form, or nothing. Types of the values are the schema's business.
std::string form_problem(const Value& spec) {
  if (!spec.is_object()) return "must be an object with nodeSelector, containers or initContainers";
  for (const auto& [key, value] : spec.entries()) {
    if (key == "nodeSelector") {
      if (!value.is_object()) return "nodeSelector must be an object";
      continue;
    }
    if (key != "containers" && key != "initContainers")
      return "field " + quoted(key) +
             " cannot differ between ordinals; possible are nodeSelector, containers and initContainers";
    if (!value.is_array()) return std::string(key) + " must be a list";
    for (const Value& container : value) {
      if (container["name"].as_string().empty())
        return std::string(key) + " must each have the name of a container of the template";
      for (const auto& member : container.entries()) {
        if (member.key != "name" && member.key != "image" && member.key != "resources" && member.key != "env")
          return "field " + quoted(member.key) +
                 " of a container cannot differ between ordinals; possible are image, resources and env";
      }
    }
  }
  return "";
}

struct Reader {
  const Value& annotations;
  std::vector<OptionProblem>* problems;

  std::string_view text(std::string_view key) const { return annotations[key].as_string(); }
  void refuse(std::string_view key, std::string why) const {
    if (problems) problems->push_back({std::string(key), std::string(text(key)), std::move(why)});
  }
  bool flag(std::string_view key) const {
    const std::string_view value = text(key);
    if (value != "true" && value != "false" && !value.empty()) refuse(key, "must be \"true\" or \"false\"");
    return value == "true";
  }
  Value int_or_percent(std::string_view key) const {
    std::string_view digits = text(key);
    if (digits.empty()) return Value();
    const bool percent = digits.ends_with('%');
    if (percent) digits.remove_suffix(1);
    const bool all_digits = std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; });
    const Result<long> number = parse_int(digits);
    if (all_digits && number.ok() && *number >= 1 && *number <= (percent ? 100 : INT32_MAX))
      return percent ? Value(text(key)) : Value(static_cast<std::int64_t>(*number));
    refuse(key,
           "must be a number of members from 1 on, or a percentage of them from 1% to 100% (e.g. \"2\" or \"40%\")");
    return Value();
  }
  std::vector<OrdinalRange> ranges(std::string_view key) const {
    Result<std::vector<OrdinalRange>> parsed = parse_ordinals(text(key));
    if (parsed.ok()) return *std::move(parsed);
    refuse(key, parsed.error().message);
    return {};
  }
  std::vector<OrdinalOverride> overrides(std::string_view key) const {
    if (trim(text(key)).empty()) return {};
    Result<Value> parsed = yaml::parse(text(key));
    if (!parsed.ok() || !parsed->is_object()) {
      refuse(key, parsed.ok() ? "must be an object with an ordinal or a range of them as each key"
                              : "must be JSON or YAML: " + parsed.error().message);
      return {};
    }
    std::vector<OrdinalOverride> out;
    for (const auto& [name, spec] : parsed->entries()) {
      OrdinalOverride one{{}, std::string(name), spec};
      std::string problem = parse_range(name, one.ordinals)
                                ? form_problem(spec)
                                : "a key must be an ordinal or a range of them (e.g. \"2-4\")";
      if (!problem.empty()) {
        refuse(key, quoted(name) + ": " + problem);
        return {};
      }
      out.push_back(std::move(one));
    }
    return out;
  }
};

Value merged_by_name(Value list, const Value& changes, Value (*merge)(Value, const Value&)) {
  for (const Value& change : changes) {
    std::size_t at = 0;
    while (at < list.size() && list[at]["name"] != change["name"]) ++at;
    if (at < list.size()) {
      list.mut(at) = merge(list[at], change);
    } else {
      list.push(change);
    }
  }
  return list;
}

Value merged_keys(Value object, const Value& changes) {
  for (const auto& [key, value] : changes.entries()) object.set(key, value);
  return object;
}

Value merged_container(Value container, const Value& change) {
  if (const Value* image = change.find("image")) container.set("image", *image);
  for (const auto& [kind, amounts] : change["resources"].entries()) {
    Value& resources = container.mut("resources");
    resources.set(kind, amounts.is_object() ? merged_keys(resources[kind], amounts) : amounts);
  }
  if (!change["env"].empty()) {
    container.set("env", merged_by_name(container["env"], change["env"], [](Value, const Value& one) { return one; }));
  }
  return container;
}

Value merged_spec(Value spec, const Value& change) {
  if (!change["nodeSelector"].empty())
    spec.set("nodeSelector", merged_keys(spec["nodeSelector"], change["nodeSelector"]));
  for (const char* list : {"initContainers", "containers"}) {
    if (!change[list].empty()) spec.set(list, merged_by_name(spec[list], change[list], merged_container));
  }
  return spec;
}

}  // namespace

Result<std::vector<OrdinalRange>> parse_ordinals(std::string_view text) {
  std::vector<OrdinalRange> all, merged;
  if (trim(text).empty()) return merged;
  for (std::string_view part : split(text, ',')) {
    OrdinalRange range;
    if (!parse_range(part, range)) return error(Code::kInvalid, kRangeForm);
    all.push_back(range);
  }
  std::sort(all.begin(), all.end(), [](const OrdinalRange& a, const OrdinalRange& b) { return a.first < b.first; });
  for (const OrdinalRange& range : all) {
    if (!merged.empty() && range.first <= merged.back().last + 1) {
      merged.back().last = std::max(merged.back().last, range.last);
    } else {
      merged.push_back(range);
    }
  }
  return merged;
}

std::string format_ordinals(const std::vector<int>& ordinals) {
  std::string out;
  for (std::size_t first = 0; first < ordinals.size();) {
    std::size_t last = first;
    while (last + 1 < ordinals.size() && ordinals[last + 1] == ordinals[last] + 1) ++last;
    if (!out.empty()) out += ',';
    out += std::to_string(ordinals[first]);
    if (last > first) out += "-" + std::to_string(ordinals[last]);
    first = last + 1;
  }
  return out;
}

bool SetOptions::skips(int ordinal) const {
  return std::any_of(skip.begin(), skip.end(), [&](const OrdinalRange& range) { return range.contains(ordinal); });
}

int SetOptions::skipped_between(int first, int ordinal) const {
  int count = 0;
  for (const OrdinalRange& range : skip) {
    const int low = std::max(range.first, first), high = std::min(range.last, ordinal - 1);
    if (low <= high) count += high - low + 1;
  }
  return count;
}

Value SetOptions::override_of(int ordinal) const {
  Value out;
  for (const OrdinalOverride& one : overrides) {
    if (one.ordinals.contains(ordinal)) out = out.is_null() ? one.spec : merged_spec(out, one.spec);
  }
  return out;
}

SetOptions set_options_of(const Value& set, std::vector<OptionProblem>* problems) {
  SetOptions out;
  const Value& annotations = set["metadata"]["annotations"];
  if (annotations.empty()) return out;
  const Reader reader{annotations, problems};
  out.claim_template_updates = reader.flag(kClaimTemplateUpdates);
  out.ordered_teardown = reader.flag(kOrderedTeardown);
  const std::string_view strategy = reader.text(kUpdateStrategy);
  out.recreate = strategy == "Recreate";
  if (!strategy.empty() && !out.recreate)
    reader.refuse(kUpdateStrategy, "must be \"Recreate\" or absent; others are set in spec.updateStrategy");
  out.max_unavailable = reader.int_or_percent(kMaxUnavailable);
  out.skip = reader.ranges(kSkipOrdinals);
  out.overrides = reader.overrides(kOrdinalOverrides);
  return out;
}

Value with_override(Value pod_template, const Value& override_spec) {
  if (!override_spec.is_null()) pod_template.set("spec", merged_spec(pod_template["spec"], override_spec));
  return pod_template;
}

}  // namespace berth::api
