// PersistentVolumeClaims, PersistentVolumes and StorageClasses.
#include "apiserver/admission/storage.h"

#include "apiserver/admission/limit_ranges.h"
#include "apiserver/registry/kind_strategy.h"
#include "apiserver/registry/state.h"
#include "base/time/time.h"

namespace berth::apiserver::registry {
namespace {

// spec.dataSource may only be a claim or a snapshot, and then equals spec.dataSourceRef; other sources are dropped.
// `before`: the spec of the stored claim, or null; its sources stay.
void complete_data_source(const api::schema::FeatureGates& gates, const Value& before, Value& spec) {
  // A source of another namespace is dropped while the feature gate is off.
  const bool crosses = gates.enabled("CrossNamespaceVolumeDataSource") || before["dataSourceRef"].is_object();
  if (!crosses && !spec["dataSourceRef"]["namespace"].as_string().empty()) spec.erase("dataSourceRef");
  const Value& source = spec["dataSource"];
  if (source.is_object() && !spec["dataSourceRef"].is_object() && !before["dataSource"].is_object()) {
    const std::string_view group = source["apiGroup"].as_string(), kind = source["kind"].as_string();
    const bool known = (group.empty() && kind == "PersistentVolumeClaim") ||
                       (group == "snapshot.storage.k8s.io" && kind == "VolumeSnapshot");
    if (!known) spec.erase("dataSource");
  }
  const Value old_form = spec["dataSource"], new_form = spec["dataSourceRef"];
  if (!new_form["namespace"].as_string().empty()) return;
  auto same = [](const Value& of) {
    return Value::object({{"apiGroup", of["apiGroup"]}, {"kind", of["kind"]}, {"name", of["name"]}});
  };
  if (old_form.is_object() && !new_form.is_object()) spec.set("dataSourceRef", same(old_form));
  if (!old_form.is_object() && new_form.is_object()) spec.set("dataSource", same(new_form));
}

// lastPhaseTransitionTime is the server's, unless the client writes it.
void complete_phase_time(const Value& before, Value& after, Time now) {
  const Value &old = before["lastPhaseTransitionTime"], &fresh = after["lastPhaseTransitionTime"];
  if (before["phase"] != after["phase"]) {
    if (fresh.is_null() || fresh == old) after.set("lastPhaseTransitionTime", format_time(now));
  } else if (fresh.is_null() && !old.is_null()) {
    after.set("lastPhaseTransitionTime", old);
  }
}

void prepare_claim(const CreateContext& context, Value& claim) {
  claim.set("status", Value::object({{"phase", "Pending"}}));
  complete_data_source(context.state.config.gates, Value(), claim.mut("spec"));
}

void prepare_claim_update(Registry::State& state, const Value& before, Value& after) {
  complete_data_source(state.config.gates, before["spec"], after.mut("spec"));
}

void prepare_volume(const CreateContext& context, Value& volume) {
  const std::string now = format_time(context.state.runtime.now());
  volume.set("status", Value::object({{"phase", "Pending"}, {"lastPhaseTransitionTime", now}}));
}

void prepare_volume_status(Registry::State& state, const Value& before, Value& after) {
  complete_phase_time(before["status"], after.mut("status"), state.runtime.now());
}

constexpr admission::Check kClaimChecks[] = {admission::check_claim_growth, admission::check_claim_limits};

}  // namespace

std::span<const KindStrategy> storage_rows() {
  static const KindStrategy kRows[] = {
      {.group = "",
       .kind = "PersistentVolumeClaim",
       .prepare_create = prepare_claim,
       .admit_create = admission::admit_claim,
       .prepare_update = prepare_claim_update,
       .status_takes_metadata = true,
       .checks = kClaimChecks,
       .delete_answer = DeleteAnswer::kLastVersion},
      {.group = "",
       .kind = "PersistentVolume",
       .prepare_create = prepare_volume,
       .admit_create = admission::admit_volume,
       .prepare_status = prepare_volume_status,
       .status_takes_metadata = true,
       .delete_answer = DeleteAnswer::kLastVersion},
      {.group = "storage.k8s.io", .kind = "StorageClass", .delete_answer = DeleteAnswer::kLastVersion}};
  return kRows;
}

}  // namespace berth::apiserver::registry
