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

MemberName parse_member_name(std::string_view name) {
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

SetSpec parse_set_spec(const Value& set) {
  const Value& spec = set["spec"];
  const Value& rolling = spec["updateStrategy"]["rollingUpdate"];
  const Value& retention = spec["persistentVolumeClaimRetentionPolicy"];
  SetSpec set_spec;
  set_spec.ns = api::namespace_of(set);
  set_spec.name = api::name_of(set);
  set_spec.replicas = count_in(spec["replicas"], 1);
  set_spec.start = count_in(spec["ordinals"]["start"]);
  set_spec.options = api::set_options_of(set);
  std::int64_t end = std::int64_t{set_spec.start} + set_spec.replicas;
  for (const api::OrdinalRange& skipped : set_spec.options.skip) {
    if (skipped.last < set_spec.start || skipped.first >= end) continue;
    end += skipped.last - std::max(skipped.first, set_spec.start) + 1;
  }
  set_spec.end = static_cast<int>(std::min<std::int64_t>(end, INT32_MAX));
  set_spec.partition = count_in(rolling["partition"]);
  const Value& missing = set_spec.options.max_unavailable;
  set_spec.max_unavailable =
      std::max(1, part_in(missing.is_null() ? rolling["maxUnavailable"] : missing, set_spec.replicas, false, 1));
  set_spec.on_delete = spec["updateStrategy"]["type"].as_string() == "OnDelete";
  set_spec.parallel = spec["podManagementPolicy"].as_string() == "Parallel";
  set_spec.min_ready_seconds = count_in(spec["minReadySeconds"]);
  set_spec.history_limit = count_in(spec["revisionHistoryLimit"], 10);
  set_spec.delete_when_scaled = retention["whenScaled"].as_string() == "Delete";
  set_spec.delete_when_deleted = retention["whenDeleted"].as_string() == "Delete";
  set_spec.terminating = api::is_terminating(set);
  return set_spec;
}

std::vector<int> SetSpec::ordinals(std::size_t most) const {
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

std::string pod_name(const SetSpec& set_spec, int ordinal) { return set_spec.name + "-" + std::to_string(ordinal); }

std::string claim_name(const SetSpec& set_spec, std::string_view template_name, int ordinal) {
  return std::string(template_name) + "-" + set_spec.name + "-" + std::to_string(ordinal);
}

std::string user_of_claims(const Value& set) {
  return "StatefulSet " + std::string(api::name_of(set)) + " (uid " + std::string(api::uid_of(set)) + ")";
}

Value make_pod(const Value& set, const SetSpec& set_spec, const Value& base_template, const Value& templates,
               std::string_view revision, int ordinal) {
  const std::string name = pod_name(set_spec, ordinal);
  const Value pod_template = api::with_override(base_template, set_spec.options.override_of(ordinal));
  const Value& from = pod_template["metadata"];
  Value labels = from["labels"].is_object() ? from["labels"] : Value::object();
  labels.set(kPodNameLabel, name).set(kPodIndexLabel, std::to_string(ordinal)).set(kRevisionLabel, revision);
  Value metadata =
      Value::object({{"name", name},
                     {"generateName", set_spec.name + "-"},
                     {"namespace", set_spec.ns},
                     {"labels", std::move(labels)},
                     {"ownerReferences", Value::array({api::controller_reference(set, kApiVersion, kKind)})}});
  if (!from["annotations"].empty()) metadata.set("annotations", from["annotations"]);
  // The template may contain the annotation of a copied pod: a hash other than the ordinal's own would make the pod
  // outdated for ever.
  if (std::string hash = override_hash(set_spec, ordinal); !hash.empty()) {
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
           {"persistentVolumeClaim", Value::object({{"claimName", claim_name(set_spec, volume, ordinal)}})}}));
    }
    // A claim template replaces a volume with the same name.
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

Value make_claim(const Value& set, const SetSpec& set_spec, const Value& claim_template, int ordinal) {
  const Value& from = claim_template["metadata"];
  Value labels = from["labels"].is_object() ? from["labels"] : Value::object();
  for (const auto& label : set["spec"]["selector"]["matchLabels"].entries()) labels.set(label.key, label.value);
  Value metadata = Value::object(
      {{"name", claim_name(set_spec, api::name_of(claim_template), ordinal)}, {"namespace", set_spec.ns}});
  if (!labels.empty()) metadata.set("labels", std::move(labels));
  if (!from["annotations"].empty()) metadata.set("annotations", from["annotations"]);
  metadata.mut("annotations").set(kUsedByAnnotation, user_of_claims(set));
  if (set_spec.delete_when_deleted && set_spec.in_range(ordinal)) {
    metadata.set("ownerReferences", Value::array({api::controller_reference(set, kApiVersion, kKind)}));
  }
  return Value::object({{"apiVersion", "v1"},
                        {"kind", "PersistentVolumeClaim"},
                        {"metadata", std::move(metadata)},
                        {"spec", claim_template["spec"]}});
}

std::string override_hash(const SetSpec& set_spec, int ordinal) {
  if (set_spec.options.overrides.empty()) return {};
  const Value wanted = set_spec.options.override_of(ordinal);
  return wanted.empty() ? "" : safe_encode(std::to_string(static_cast<std::uint32_t>(wanted.hash())));
}

bool claims_match(const SetSpec& set_spec, const Value& pod, const Value& claim_templates, int ordinal) {
  std::size_t found = 0;
  for (const Value& volume : pod["spec"]["volumes"]) {
    const std::string_view claim = volume["persistentVolumeClaim"]["claimName"].as_string();
    if (claim.empty() || claim != claim_name(set_spec, volume["name"].as_string(), ordinal)) continue;
    const bool wanted = std::any_of(claim_templates.begin(), claim_templates.end(),
                                    [&](const Value& one) { return api::name_of(one) == volume["name"].as_string(); });
    if (!wanted) return false;
    ++found;
  }
  return found == claim_templates.size();
}

bool identity_matches(const SetSpec& set_spec, const Value& pod, int ordinal) {
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

Value required_claim_owners(const Value& claim, const Value& set, const SetSpec& set_spec, const Value& pod,
                            int ordinal) {
  const std::string member = pod_name(set_spec, ordinal);
  const std::string_view set_uid = api::uid_of(set), pod_uid = api::uid_of(pod);
  const bool retains = !set_spec.delete_when_scaled && !set_spec.delete_when_deleted;
  Value others = Value::array({});  // references to other owners
  bool foreign_controller = false, not_controlling = false;
  for (const Value& reference : claim["metadata"]["ownerReferences"]) {
    const bool of_set = refers_to(reference, "apps", kKind, set_spec.name);
    const bool of_pod = refers_to(reference, "", "Pod", member);
    const std::string_view uid = reference["uid"].as_string();
    // A reference to an earlier incarnation of set or pod: the garbage collector handles it.
    if ((of_set && uid != set_uid) || (of_pod && uid != pod_uid)) return Value();
    const bool controls = reference["controller"].as_bool();
    if (of_set || of_pod) {
      not_controlling |= !controls;
      continue;
    }
    foreign_controller |= controls && !retains;
    others.push(reference);
  }
  const bool scaled_down = !set_spec.in_range(ordinal);
  const bool want_set =
      !foreign_controller && set_spec.delete_when_deleted && !(set_spec.delete_when_scaled && scaled_down);
  const bool want_pod = !foreign_controller && set_spec.delete_when_scaled && scaled_down && !pod_uid.empty();
  if (!not_controlling && has_owner(claim, set_uid) == want_set && has_owner(claim, pod_uid) == want_pod)
    return Value();
  if (want_pod) others.push(api::controller_reference(pod, "v1", "Pod"));
  if (want_set) others.push(api::controller_reference(set, kApiVersion, kKind));
  return others;
}

bool claim_is_stale(const Value& claim, const SetSpec& set_spec, const Value& pod, int ordinal) {
  if (!set_spec.delete_when_scaled) return false;
  const std::string member = pod_name(set_spec, ordinal);
  for (const Value& reference : claim["metadata"]["ownerReferences"]) {
    if (refers_to(reference, "", "Pod", member) && reference["uid"].as_string() != api::uid_of(pod)) return true;
  }
  return false;
}

}  // namespace berth::controllers
