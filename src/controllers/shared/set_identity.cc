#include "controllers/shared/set_identity.h"

#include <algorithm>

#include "api/object.h"
#include "base/text.h"
#include "base/time/time.h"
#include "controllers/shared/numbers.h"

namespace berth::controllers {
namespace {

constexpr std::string_view kApiVersion = "apps/v1";
constexpr std::string_view kKind = "StatefulSet";

bool refers_to(const Value& reference, std::string_view group, std::string_view kind, std::string_view name) {
  return reference["kind"].as_string() == kind && reference["name"].as_string() == name &&
         api::GroupVersion::parse(reference["apiVersion"].as_string()).group == group;
}

bool has_owner(const Value& object, std::string_view uid) {
  if (uid.empty()) return false;
  for (const Value& reference : object["metadata"]["ownerReferences"]) {
    if (reference["uid"].as_string() == uid) return true;
  }
  return false;
}

}  // namespace

Member parse_member(std::string_view name) {
  const std::size_t dash = name.rfind('-');
  if (dash == std::string_view::npos || dash + 1 == name.size()) return {};
  std::int64_t ordinal = 0;
  for (char c : name.substr(dash + 1)) {
    if (c < '0' || c > '9') return {};
    ordinal = ordinal * 10 + (c - '0');
    if (ordinal > INT32_MAX) return {name.substr(0, dash), -1};
  }
  return {name.substr(0, dash), static_cast<int>(ordinal)};
}

Shape shape_of(const Value& set) {
  const Value& spec = set["spec"];
  const Value& rolling = spec["updateStrategy"]["rollingUpdate"];
  const Value& retention = spec["persistentVolumeClaimRetentionPolicy"];
  Shape shape;
  shape.ns = api::namespace_of(set);
  shape.name = api::name_of(set);
  shape.replicas = count_in(spec["replicas"], 1);
  shape.start = count_in(spec["ordinals"]["start"]);
  shape.options = api::set_options_of(set);
  std::int64_t end = std::int64_t{shape.start} + shape.replicas;
  for (const api::OrdinalRange& skipped : shape.options.skip) {
    if (skipped.last < shape.start || skipped.first >= end) continue;
    end += skipped.last - std::max(skipped.first, shape.start) + 1;
  }
  shape.end = static_cast<int>(std::min<std::int64_t>(end, INT32_MAX));
  shape.partition = count_in(rolling["partition"]);
  const Value& missing = shape.options.max_unavailable;
  shape.max_unavailable =
      std::max(1, part_in(missing.is_null() ? rolling["maxUnavailable"] : missing, shape.replicas, false, 1));
  shape.on_delete = spec["updateStrategy"]["type"].as_string() == "OnDelete";
  shape.parallel = spec["podManagementPolicy"].as_string() == "Parallel";
  shape.min_ready_seconds = count_in(spec["minReadySeconds"]);
  shape.history_limit = count_in(spec["revisionHistoryLimit"], 10);
  shape.delete_when_scaled = retention["whenScaled"].as_string() == "Delete";
  shape.delete_when_deleted = retention["whenDeleted"].as_string() == "Delete";
  shape.terminating = api::is_terminating(set);
  return shape;
}

std::vector<int> Shape::ordinals(std::size_t most) const {
  std::vector<int> out;
  out.reserve(std::min(most, static_cast<std::size_t>(replicas)));
  int ordinal = start;
  for (const api::OrdinalRange& skipped : options.skip) {
    for (; ordinal < std::min(skipped.first, end) && out.size() < most; ++ordinal) out.push_back(ordinal);
    ordinal = std::max(ordinal, skipped.last + 1);
  }
  for (; ordinal < end && out.size() < most; ++ordinal) out.push_back(ordinal);
  return out;
}

std::string pod_name(const Shape& shape, int ordinal) { return shape.name + "-" + std::to_string(ordinal); }

std::string claim_name(const Shape& shape, std::string_view template_name, int ordinal) {
  return std::string(template_name) + "-" + shape.name + "-" + std::to_string(ordinal);
}

std::string user_of_claims(const Value& set) {
  return "StatefulSet " + std::string(api::name_of(set)) + " (uid " + std::string(api::uid_of(set)) + ")";
}

Value make_pod(const Value& set, const Shape& shape, const Value& base_template, const Value& templates,
               std::string_view revision, int ordinal) {
  const std::string name = pod_name(shape, ordinal);
  const Value pod_template = api::with_override(base_template, shape.options.override_of(ordinal));
  const Value& from = pod_template["metadata"];
  Value labels = from["labels"].is_object() ? from["labels"] : Value::object();
  labels.set(kPodNameLabel, name).set(kPodIndexLabel, std::to_string(ordinal)).set(kRevisionLabel, revision);
  Value metadata =
      Value::object({{"name", name},
                     {"generateName", shape.name + "-"},
                     {"namespace", shape.ns},
                     {"labels", std::move(labels)},
                     {"ownerReferences", Value::array({api::controller_reference(set, kApiVersion, kKind)})}});
  if (!from["annotations"].empty()) metadata.set("annotations", from["annotations"]);
  // The template may carry the annotation of a copied pod: one that is not the ordinal's own would make the pod
  // outdated for ever.
  if (std::string hash = override_hash(shape, ordinal); !hash.empty()) {
    metadata.mut("annotations").set(kOverrideAnnotation, hash);
  } else if (metadata["annotations"].contains(kOverrideAnnotation)) {
    metadata.mut("annotations").erase(kOverrideAnnotation);
  }
  if (!from["finalizers"].empty()) metadata.set("finalizers", from["finalizers"]);

  Value spec = pod_template["spec"];
  spec.set("hostname", name);
  const std::string_view service = set["spec"]["serviceName"].as_string();
  if (!service.empty()) spec.set("subdomain", service);

  if (!templates.empty()) {
    Value volumes = Value::array({});
    for (const Value& one : templates) {
      const std::string_view volume = api::name_of(one);
      volumes.push(Value::object(
          {{"name", volume},
           {"persistentVolumeClaim", Value::object({{"claimName", claim_name(shape, volume, ordinal)}})}}));
    }
    // A template's claim takes the place of a volume with the same name.
    for (const Value& volume : spec["volumes"]) {
      const bool replaced = std::any_of(templates.begin(), templates.end(), [&](const Value& one) {
        return api::name_of(one) == volume["name"].as_string();
      });
      if (!replaced) volumes.push(volume);
    }
    spec.set("volumes", std::move(volumes));
  }
  return Value::object(
      {{"apiVersion", "v1"}, {"kind", "Pod"}, {"metadata", std::move(metadata)}, {"spec", std::move(spec)}});
}

Value make_claim(const Value& set, const Shape& shape, const Value& claim_template, int ordinal) {
  const Value& from = claim_template["metadata"];
  Value labels = from["labels"].is_object() ? from["labels"] : Value::object();
  for (const auto& label : set["spec"]["selector"]["matchLabels"].entries()) labels.set(label.key, label.value);
  Value metadata =
      Value::object({{"name", claim_name(shape, api::name_of(claim_template), ordinal)}, {"namespace", shape.ns}});
  if (!labels.empty()) metadata.set("labels", std::move(labels));
  if (!from["annotations"].empty()) metadata.set("annotations", from["annotations"]);
  metadata.mut("annotations").set(kUsedByAnnotation, user_of_claims(set));
  if (shape.delete_when_deleted && shape.in_range(ordinal)) {
    metadata.set("ownerReferences", Value::array({api::controller_reference(set, kApiVersion, kKind)}));
  }
  return Value::object({{"apiVersion", "v1"},
                        {"kind", "PersistentVolumeClaim"},
                        {"metadata", std::move(metadata)},
                        {"spec", claim_template["spec"]}});
}

std::string override_hash(const Shape& shape, int ordinal) {
  if (shape.options.overrides.empty()) return {};
  const Value wanted = shape.options.override_of(ordinal);
  return wanted.empty() ? "" : safe_encode(std::to_string(static_cast<std::uint32_t>(wanted.hash())));
}

bool claims_match(const Shape& shape, const Value& pod, const Value& claim_templates, int ordinal) {
  std::size_t found = 0;
  for (const Value& volume : pod["spec"]["volumes"]) {
    const std::string_view claim = volume["persistentVolumeClaim"]["claimName"].as_string();
    if (claim.empty() || claim != claim_name(shape, volume["name"].as_string(), ordinal)) continue;
    const bool wanted = std::any_of(claim_templates.begin(), claim_templates.end(),
                                    [&](const Value& one) { return api::name_of(one) == volume["name"].as_string(); });
    if (!wanted) return false;
    ++found;
  }
  return found == claim_templates.size();
}

bool identity_matches(const Shape& shape, const Value& pod, int ordinal) {
  return api::label_of(pod, kPodNameLabel) == api::name_of(pod) &&
         api::label_of(pod, kPodIndexLabel) == std::to_string(ordinal);
}

PodState state_of(const Value& pod, int min_ready_seconds, Time now) {
  PodState state;
  if (pod.is_null()) return state;
  const std::string_view phase = pod["status"]["phase"].as_string();
  state.terminating = api::is_terminating(pod);
  state.ended = phase == "Failed" || phase == "Succeeded";
  state.pending = phase == "Pending" || phase.empty();
  state.revision = api::label_of(pod, kRevisionLabel);
  const Value& ready = api::condition_of(pod, "Ready");
  state.ready = phase == "Running" && ready["status"].as_string() == "True";
  if (!state.ready) {
    const Value& stamp =
        ready["lastTransitionTime"].is_null() ? pod["metadata"]["creationTimestamp"] : ready["lastTransitionTime"];
    const auto since = parse_time(stamp.as_string());
    state.unready_since = since.ok() ? since.value() : now;
  }
  if (phase != "Running") return state;
  if (!state.ready || min_ready_seconds <= 0) {
    state.available = state.ready;
    return state;
  }
  const auto since = parse_time(ready["lastTransitionTime"].as_string());
  if (!since.ok()) return state;
  state.available_in =
      std::max<Duration>(since.value() + std::chrono::seconds(min_ready_seconds) - now, Duration::zero());
  state.available = state.available_in == Duration::zero();
  return state;
}

Value wanted_claim_owners(const Value& claim, const Value& set, const Shape& shape, const Value& pod, int ordinal) {
  const std::string member = pod_name(shape, ordinal);
  const std::string_view set_uid = api::uid_of(set), pod_uid = api::uid_of(pod);
  const bool retains = !shape.delete_when_scaled && !shape.delete_when_deleted;
  Value others = Value::array({});  // references that are none of ours
  bool foreign_controller = false, not_controlling = false;
  for (const Value& reference : claim["metadata"]["ownerReferences"]) {
    const bool of_set = refers_to(reference, "apps", kKind, shape.name);
    const bool of_pod = refers_to(reference, "", "Pod", member);
    const std::string_view uid = reference["uid"].as_string();
    // An earlier set's or pod's: the garbage collector decides about it.
    if ((of_set && uid != set_uid) || (of_pod && uid != pod_uid)) return Value();
    const bool controls = reference["controller"].as_bool();
    if (of_set || of_pod) {
      not_controlling |= !controls;
      continue;
    }
    foreign_controller |= controls && !retains;
    others.push(reference);
  }
  const bool scaled_down = !shape.in_range(ordinal);
  const bool want_set = !foreign_controller && shape.delete_when_deleted && !(shape.delete_when_scaled && scaled_down);
  const bool want_pod = !foreign_controller && shape.delete_when_scaled && scaled_down && !pod_uid.empty();
  if (!not_controlling && has_owner(claim, set_uid) == want_set && has_owner(claim, pod_uid) == want_pod)
    return Value();
  if (want_pod) others.push(api::controller_reference(pod, "v1", "Pod"));
  if (want_set) others.push(api::controller_reference(set, kApiVersion, kKind));
  return others;
}

bool claim_is_stale(const Value& claim, const Shape& shape, const Value& pod, int ordinal) {
  if (!shape.delete_when_scaled) return false;
  const std::string member = pod_name(shape, ordinal);
  for (const Value& reference : claim["metadata"]["ownerReferences"]) {
    if (refers_to(reference, "", "Pod", member) && reference["uid"].as_string() != api::uid_of(pod)) return true;
  }
  return false;
}

}  // namespace berth::controllers
