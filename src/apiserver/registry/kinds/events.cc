// Events have two API forms and one storage: events.k8s.io/v1 Events are stored as core/v1 ones.
#include <string>
#include <string_view>
#include <utility>

#include "apiserver/registry/event_expiry.h"
#include "apiserver/registry/kind_strategy.h"

namespace berth::apiserver::registry {
namespace {

// {core/v1 name, events.k8s.io/v1 name}
constexpr std::pair<const char*, const char*> kRenamed[] = {{"involvedObject", "regarding"},
                                                            {"message", "note"},
                                                            {"source", "deprecatedSource"},
                                                            {"firstTimestamp", "deprecatedFirstTimestamp"},
                                                            {"lastTimestamp", "deprecatedLastTimestamp"},
                                                            {"count", "deprecatedCount"},
                                                            {"reportingComponent", "reportingController"}};

Value to_core(Value object) {
  for (auto [core, renamed] : kRenamed) {
    if (!object.contains(renamed)) continue;
    object.set(core, object[renamed]);
    object.erase(renamed);
  }
  return object.set("apiVersion", "v1");
}

Value from_core(Value object) {
  for (auto [core, renamed] : kRenamed) {
    if (!object.contains(core)) continue;
    object.set(renamed, object[core]);
    object.erase(core);
  }
  return object.set("apiVersion", "events.k8s.io/v1");
}

constexpr KindConversion kConversion{"v1", "Event", to_core, from_core};

constexpr std::string_view kCoreFields[] = {"involvedObject.kind",
                                            "involvedObject.namespace",
                                            "involvedObject.name",
                                            "involvedObject.uid",
                                            "involvedObject.apiVersion",
                                            "involvedObject.resourceVersion",
                                            "involvedObject.fieldPath",
                                            "reason",
                                            "reportingComponent",
                                            "source",
                                            "type"};
constexpr std::string_view kNewFields[] = {"regarding.kind",
                                           "regarding.namespace",
                                           "regarding.name",
                                           "regarding.uid",
                                           "reason",
                                           "reportingController",
                                           "type"};

void rewrite_source(api::FieldSelector::Requirement& requirement) {
  if (requirement.field == "source") requirement.field = "source.component";
}

void forget(const StatePtr& state, const DeletedObject& deleted) { forget_event(state, deleted.key); }

}  // namespace

std::span<const KindStrategy> event_rows() {
  static const KindStrategy kCore{.group = "",
                                  .kind = "Event",
                                  .expendable = true,
                                  .after_put = record_event,
                                  .selectable_fields = kCoreFields,
                                  .rewrite_requirement = rewrite_source,
                                  // Controllers report what they do in a namespace that is being deleted.
                                  .created_while_terminating = true,
                                  .creates_on_update = true,
                                  .outside_quotas = true,
                                  .after_delete = forget};
  static const KindStrategy kRows[] = {kCore, [] {
                                         KindStrategy row = kCore;
                                         row.group = "events.k8s.io";
                                         row.conversion = &kConversion;
                                         row.selectable_fields = kNewFields;
                                         row.rewrite_requirement = nullptr;
                                         return row;
                                       }()};
  return kRows;
}

}  // namespace berth::apiserver::registry
