// Events: the core form is hardly validated; the form of events.k8s.io is. Both are one object, whose
// causes name the fields of the core form.
#include "apiserver/validation/go_value.h"
#include "apiserver/validation/report.h"
#include "apiserver/validation/validation.h"

namespace berth::apiserver::validation {
namespace {

// A member under either of its names.
struct Event {
  explicit Event(const Value& o, bool n) : object(o), newer(n) {}
  const Value& object;
  bool newer;
  const Value& operator()(const char* core, const char* events) const { return object[newer ? events : core]; }
};

void check_length(Report& report, const char* field, const Value& text, std::size_t most) {
  if (text.as_string().size() > most)
    report.invalid(field, "", "can have at most " + std::to_string(most) + " characters");
}

void check_reporter(Report& report, const Event& event) {
  const char* const controller = event.newer ? "reportingController" : "reportingComponent";
  const Value& name = event.object[controller];
  if (name.as_string().empty()) report.required(controller);
  report.complaints(controller, name.as_string(), is_qualified_name(name.as_string()));
  if (event.object["reportingInstance"].as_string().empty()) report.required("reportingInstance");
  check_length(report, "reportingInstance", event.object["reportingInstance"], 128);
  for (const char* field : {"action", "reason"}) {
    if (event.object[field].as_string().empty()) report.required(field);
    check_length(report, field, event.object[field], 128);
  }
  check_length(report, "message", event("message", "note"), 1024);
}

void check_plain(Report& report, const Event& event) {
  const std::string_view own = event.object["metadata"]["namespace"].as_string();
  const std::string_view about = event("involvedObject", "regarding")["namespace"].as_string();
  const bool timed = !event.object["eventTime"].is_null();
  bool fits =
      about.empty() ? own.empty() || own == "default" || (timed && own == "kube-system") : timed || own == about;
  if (!fits) report.invalid("involvedObject.namespace", about, "does not match event.namespace");
  if (timed) check_reporter(report, event);
}

void check_series(Report& report, const Value& series) {
  if (!series.is_object()) return;
  if (series["count"].as_int() < 2) report.invalid("series.count", "", "should be at least 2");
  if (series["lastObservedTime"].is_null()) report.required("series.lastObservedTime");
}

}  // namespace

void validate_event(Report& report, const Value& object) { check_plain(report, Event(object, false)); }

void validate_new_event(Report& report, const Value& object) {
  const Event event(object, true);
  check_plain(report, event);
  check_series(report, object["series"]);
  if (object["eventTime"].is_null()) report.required("eventTime");
  const std::string type = object["type"].str();
  if (type != "Normal" && type != "Warning") report.invalid("type", "", "has invalid value: " + type);
  constexpr std::pair<const char*, const char*> kUnset[] = {{"deprecatedFirstTimestamp", "firstTimestamp"},
                                                            {"deprecatedLastTimestamp", "lastTimestamp"},
                                                            {"deprecatedCount", "count"}};
  for (auto [field, named] : kUnset) {
    if (!object[field].is_null() && object[field] != Value(0)) report.invalid(named, "", "needs to be unset");
  }
  const Value& source = object["deprecatedSource"];
  if (!source["component"].as_string().empty() || !source["host"].as_string().empty())
    report.invalid("source", "", "needs to be unset");
}

void validate_event_update(Report& report, const Value& before, const Value& after) {
  check_plain(report, Event(after, false));
  validate_metadata_update(report, before["metadata"], after["metadata"]);
}

void validate_new_event_update(Report& report, const Value& before, const Value& after) {
  check_plain(report, Event(after, true));
  validate_metadata_update(report, before["metadata"], after["metadata"]);
  if (before["series"] != after["series"]) check_series(report, after["series"]);
  constexpr std::string_view kImmutable = "field is immutable", kReference = "io.k8s.api.core.v1.ObjectReference";
  struct Part {
    const char *field, *named;
    std::string_view type;
  };
  for (const auto& [field, named, type] :
       {Part{"regarding", "involvedObject", kReference}, Part{"related", "related", kReference},
        Part{"deprecatedSource", "source", "io.k8s.api.core.v1.EventSource"}}) {
    if (before[field] != after[field]) report.invalid_shown(named, shown_as_go(after[field], type), kImmutable);
  }
  constexpr std::pair<const char*, const char*> kTexts[] = {{"reason", "reason"},
                                                            {"note", "message"},
                                                            {"type", "type"},
                                                            {"action", "action"},
                                                            {"reportingController", "reportingController"},
                                                            {"reportingInstance", "reportingInstance"}};
  for (auto [field, named] : kTexts) {
    if (before[field].as_string() != after[field].as_string())
      report.invalid(named, after[field].as_string(), kImmutable);
  }
  constexpr std::pair<const char*, const char*> kTimes[] = {{"deprecatedFirstTimestamp", "firstTimestamp"},
                                                            {"deprecatedLastTimestamp", "lastTimestamp"},
                                                            {"eventTime", "eventTime"}};
  for (auto [field, named] : kTimes) validate_immutable(report, named, before[field], after[field]);
  if (const std::int64_t count = after["deprecatedCount"].as_int(); count != before["deprecatedCount"].as_int())
    report.invalid("count", Value(count), kImmutable);
}

}  // namespace berth::apiserver::validation
