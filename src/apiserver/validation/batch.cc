// Job, CronJob.
#include <algorithm>
#include <set>

#include "api/copy_field.h"
#include "api/cron_schedule.h"
#include "api/selector.h"
#include "apiserver/validation/go_value.h"
#include "apiserver/validation/report.h"
#include "apiserver/validation/validation.h"
#include "base/text.h"

namespace berth::apiserver::validation {
namespace {

constexpr std::int64_t kMostParallel = 100'000;  // pods of an indexed job at once
constexpr std::int64_t kMostFailedIndexes = 100'000;
constexpr std::int64_t kManyCompletions = 100'000;  // beyond, tracking each index's failures needs the next two limits
constexpr std::int64_t kLimitForMany = 10'000;
constexpr std::size_t kMostRules = 20, kMostExitCodes = 255, kMostConditions = 20;
constexpr std::size_t kManagedByBytes = 63, kIndexesBytes = 64 * 1024, kCronJobNameBytes = 52;

constexpr const char* kUidLabels[] = {"controller-uid", "batch.kubernetes.io/controller-uid"};
constexpr const char* kNameLabels[] = {"job-name", "batch.kubernetes.io/job-name"};

bool is_indexed(const Value& spec) { return spec["completionMode"].as_string() == "Indexed"; }

std::string valid_values(const std::vector<std::string>& values) {
  std::vector<std::string> parts;
  for (const std::string& value : values) parts.push_back(quoted(value));
  return "valid values: [" + join(parts, " ") + "]";
}

// A complaint about an object as a whole, which is not printed.
void invalid_whole(Report& report, const std::string& path, std::string_view detail) {
  report.add({"FieldValueInvalid", "Invalid value: " + std::string(detail), path});
}

void at_most(Report& report, const std::string& path, const Value& value, std::int64_t limit, const std::string& when) {
  if (value.is_int() && value.as_int() > limit)
    report.invalid(path, value, "must be less than or equal to " + std::to_string(limit) + when);
}

// --- Lists of indexes: "0,2-4"

Result<std::int64_t> parse_index(std::string_view text, std::int64_t completions) {
  const Result<long> index = parse_int(text);
  if (!index.ok()) return error(Code::kInvalid, "cannot convert string to integer for index: " + quoted(text));
  if (*index >= completions) return error(Code::kInvalid, "too large index: " + quoted(text));
  return static_cast<std::int64_t>(*index);
}

using Interval = std::pair<std::int64_t, std::int64_t>;

std::string falling(std::int64_t previous, std::int64_t current) {
  return "non-increasing order, previous: " + std::to_string(previous) + ", current: " + std::to_string(current);
}

Result<std::vector<Interval>> parse_indexes(std::string_view text, std::int64_t completions) {
  std::vector<Interval> intervals;
  if (text.empty()) return intervals;
  for (std::string_view part : split(text, ',')) {
    const std::vector<std::string_view> ends = split(part, '-');
    if (ends.size() > 2) {
      return error(Code::kInvalid,
                   "the fragment " + quoted(part) +
                       " violates the requirement that an index interval can have at most two parts separated by '-'");
    }
    BERTH_ASSIGN(const std::int64_t first, parse_index(ends[0], completions));
    std::int64_t last = first;
    if (ends.size() == 2) {
      BERTH_ASSIGN(last, parse_index(ends[1], completions));
      if (first >= last) return error(Code::kInvalid, falling(first, last));
    }
    if (!intervals.empty() && intervals.back().second >= first)
      return error(Code::kInvalid, falling(intervals.back().second, first));
    intervals.emplace_back(first, last);
  }
  return intervals;
}

// --- The policies

void validate_exit_codes(Report& report, const std::string& path, const Value& codes,
                         const std::set<std::string_view>& containers) {
  const std::string_view op = codes["operator"].as_string();
  if (op.empty()) {
    report.required(path + ".operator", valid_values({"In", "NotIn"}));
  } else if (op != "In" && op != "NotIn") {
    report.add(api::not_supported(path + ".operator", op, {"In", "NotIn"}));
  }
  const Value& container = codes["containerName"];
  if (container.is_string() && !containers.contains(container.as_string())) {
    report.invalid(path + ".containerName", container,
                   "must be one of the container or initContainer names in the pod template");
  }
  const Value& values = codes["values"];
  if (values.empty()) {
    report.invalid(path + ".values", values, "at least one value is required");
  } else if (values.size() > kMostExitCodes) {
    report.add(api::too_many(path + ".values", static_cast<int>(values.size()), kMostExitCodes));
  }
  bool ordered = true;
  std::set<std::int64_t> seen;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (op == "In" && values[i].as_int() == 0)
      report.invalid(at(path + ".values", i), values[i], "must not be 0 for the In operator");
    if (!seen.insert(values[i].as_int()).second) report.duplicate(at(path + ".values", i), values[i]);
    ordered = ordered && (i == 0 || values[i - 1].as_int() <= values[i].as_int());
  }
  if (!ordered) report.invalid(path + ".values", values, "must be ordered");
}

void validate_pod_conditions(Report& report, const std::string& path, const Value& patterns) {
  if (patterns.size() > kMostConditions)
    report.add(api::too_many(path, static_cast<int>(patterns.size()), kMostConditions));
  std::size_t index = 0;
  for (const Value& pattern : patterns) {
    const std::string here = at(path, index++);
    report.complaints(here + ".type", pattern["type"], is_qualified_name(pattern["type"].as_string()));
    const std::string_view status = pattern["status"].as_string();
    const std::vector<std::string> known = {"False", "True", "Unknown"};
    if (status.empty()) {
      report.required(here + ".status", valid_values(known));
    } else if (std::find(known.begin(), known.end(), status) == known.end()) {
      report.add(api::not_supported(here + ".status", status, known));
    }
  }
}

void validate_failure_policy(Report& report, const std::string& path, const Value& spec) {
  const Value& rules = spec["podFailurePolicy"]["rules"];
  if (rules.size() > kMostRules) report.add(api::too_many(path + ".rules", static_cast<int>(rules.size()), kMostRules));
  std::set<std::string_view> containers;
  for (const char* list : {"containers", "initContainers"}) {
    for (const Value& container : spec["template"]["spec"][list]) containers.insert(container["name"].as_string());
  }
  const std::vector<std::string> actions = {"Count", "FailIndex", "FailJob", "Ignore"};
  std::size_t index = 0;
  for (const Value& rule : rules) {
    const std::string here = at(path + ".rules", index++);
    const std::string_view action = rule["action"].as_string();
    if (action.empty()) {
      report.required(here + ".action", valid_values(actions));
    } else if (action == "FailIndex") {
      if (spec["backoffLimitPerIndex"].is_null())
        report.invalid(here + ".action", action, "requires the backoffLimitPerIndex to be set");
    } else if (std::find(actions.begin(), actions.end(), action) == actions.end()) {
      report.add(api::not_supported(here + ".action", action, actions));
    }
    const bool codes = rule["onExitCodes"].is_object(), conditions = !rule["onPodConditions"].empty();
    if (codes) validate_exit_codes(report, here + ".onExitCodes", rule["onExitCodes"], containers);
    if (conditions) validate_pod_conditions(report, here + ".onPodConditions", rule["onPodConditions"]);
    if (codes && conditions)
      invalid_whole(report, here, "specifying both OnExitCodes and OnPodConditions is not supported");
    if (!codes && !conditions)
      invalid_whole(report, here, "specifying one of OnExitCodes and OnPodConditions is required");
  }
}

void validate_success_rule(Report& report, const std::string& path, const Value& rule, std::int64_t completions) {
  const Value &indexes = rule["succeededIndexes"], &count = rule["succeededCount"];
  if (indexes.is_null() && count.is_null()) {
    report.required(path, "at least one of succeededCount or succeededIndexes must be specified");
  }
  std::int64_t named = 0;
  if (indexes.is_string()) {
    const std::string here = path + ".succeededIndexes";
    if (indexes.as_string().size() > kIndexesBytes) report.add(api::too_long(here, indexes, kIndexesBytes));
    const auto parsed = parse_indexes(indexes.as_string(), completions);
    if (!parsed.ok()) report.invalid(here, indexes, "error parsing succeededIndexes: " + parsed.error().message);
    if (parsed.ok()) {
      for (const auto& [first, last] : *parsed) named += last - first + 1;
    }
  }
  if (!count.is_int()) return;
  const std::string here = path + ".succeededCount";
  report.not_negative(here, count);
  at_most(report, here, count, completions, " (the number of specified completions)");
  if (indexes.is_string())
    at_most(report, here, count, named, " (the number of indexes in the specified succeededIndexes field)");
}

void validate_success_policy(Report& report, const std::string& path, const Value& spec) {
  if (!is_indexed(spec)) {
    return report.invalid_shown(path, shown_as_go(spec["successPolicy"], "io.k8s.api.batch.v1.SuccessPolicy"),
                                "requires indexed completion mode");
  }
  const Value& rules = spec["successPolicy"]["rules"];
  if (rules.empty())
    report.required(path + ".rules", "at least one rules must be specified when the successPolicy is specified");
  if (rules.size() > kMostRules) report.add(api::too_many(path + ".rules", static_cast<int>(rules.size()), kMostRules));
  std::size_t index = 0;
  for (const Value& rule : rules)
    validate_success_rule(report, at(path + ".rules", index++), rule, spec["completions"].as_int());
}

// --- The spec

bool is_http_path(std::string_view text) {
  constexpr std::string_view kMarks = "/-._~%!$&'()*+,;=:";
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           kMarks.find(c) != std::string_view::npos;
  });
}

void validate_managed_by(Report& report, const std::string& path, const Value& name) {
  const Cut parts = cut(name.as_string(), "/");
  if (name.as_string().empty()) {
    report.required(path);
  } else if (parts.before.empty() || parts.after.empty()) {
    report.invalid(path, name, "must be a domain-prefixed path (such as \"acme.io/foo\")");
  } else {
    report.complaints(path, parts.before, is_dns1123_subdomain(parts.before));
    if (!is_http_path(parts.after)) {
      report.invalid(path, parts.after,
                     "Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')");
    }
  }
  if (name.as_string().size() > kManagedByBytes) report.add(api::too_long(path, name, kManagedByBytes));
}

void validate_indexed(Report& report, const std::string& path, const Value& spec) {
  const Value &completions = spec["completions"], &failed = spec["maxFailedIndexes"];
  if (completions.is_null()) report.required(path + ".completions", "when completion mode is Indexed");
  at_most(report, path + ".parallelism", spec["parallelism"], kMostParallel, " when completion mode is Indexed");
  if (completions.is_int() && failed.is_int() && failed.as_int() > completions.as_int()) {
    report.invalid(path + ".maxFailedIndexes", failed, "must be less than or equal to completions");
  }
  at_most(report, path + ".maxFailedIndexes", failed, kMostFailedIndexes, "");
  if (completions.as_int() <= kManyCompletions || spec["backoffLimitPerIndex"].is_null()) return;
  const std::string many = std::to_string(kManyCompletions);
  if (failed.is_null())
    report.required(path + ".maxFailedIndexes", "must be specified when completions is above " + many);
  const std::string when = " when completions are above " + many + " and used with backoff limit per index";
  at_most(report, path + ".parallelism", spec["parallelism"], kLimitForMany, when);
  at_most(report, path + ".maxFailedIndexes", failed, kLimitForMany, when);
}

void validate_modes(Report& report, const std::string& path, const Value& spec) {
  const Value& mode = spec["completionMode"];
  if (mode.is_string() && mode.as_string() != "NonIndexed" && mode.as_string() != "Indexed") {
    report.add(api::not_supported(path + ".completionMode", mode, {"NonIndexed", "Indexed"}));
  }
  if (is_indexed(spec)) validate_indexed(report, path, spec);
  if (mode.is_null() || mode.as_string() == "NonIndexed") {
    for (const char* field : {"backoffLimitPerIndex", "maxFailedIndexes"}) {
      if (!spec[field].is_null()) report.invalid(path + "." + field, spec[field], "requires indexed completion mode");
    }
  }
  if (spec["podFailurePolicy"].is_object()) validate_failure_policy(report, path + ".podFailurePolicy", spec);
  if (spec["successPolicy"].is_object()) validate_success_policy(report, path + ".successPolicy", spec);
  const Value& replacement = spec["podReplacementPolicy"];
  if (replacement.is_null()) return;
  const std::vector<std::string> known = spec["podFailurePolicy"].is_object()
                                             ? std::vector<std::string>{"Failed"}
                                             : std::vector<std::string>{"Failed", "TerminatingOrFailed"};
  if (std::find(known.begin(), known.end(), replacement.as_string()) == known.end()) {
    report.add(api::not_supported(path + ".podReplacementPolicy", replacement, known));
  }
}

// What the spec of a job and that of a cron job's jobs have in common.
void validate_spec(Report& report, const std::string& path, const Value& spec) {
  for (const char* field : {"parallelism", "completions", "activeDeadlineSeconds", "backoffLimit",
                            "ttlSecondsAfterFinished", "backoffLimitPerIndex", "maxFailedIndexes"}) {
    report.not_negative(path + "." + field, spec[field]);
  }
  if (!spec["maxFailedIndexes"].is_null() && spec["backoffLimitPerIndex"].is_null()) {
    report.required(path + ".backoffLimitPerIndex", "when maxFailedIndexes is specified");
  }
  if (!spec["managedBy"].is_null()) validate_managed_by(report, path + ".managedBy", spec["managedBy"]);
  validate_modes(report, path, spec);
  validate_pod_template(report, path + ".template", spec["template"]);
  const std::string restart_path = path + ".template.spec.restartPolicy";
  const Value& restart = spec["template"]["spec"]["restartPolicy"];
  if (restart.as_string().empty() || restart.as_string() == "Always") {
    report.required(restart_path, "valid values: \"OnFailure\", \"Never\"");
  } else if (restart.as_string() != "OnFailure" && restart.as_string() != "Never") {
    report.add(api::not_supported(restart_path, restart, {"OnFailure", "Never"}));
  } else if (spec["podFailurePolicy"].is_object() && restart.as_string() != "Never") {
    report.invalid(restart_path, restart, "only \"Never\" is supported when podFailurePolicy is specified");
  }
}

// `prefixed`: the labels with a domain are asked for, too.
void validate_generated_selector(Report& report, const Value& job, bool prefixed) {
  const Value& spec = job["spec"];
  if (spec["manualSelector"].as_bool() || !spec["selector"].is_object()) return;
  const std::string_view uid = api::uid_of(job), name = api::name_of(job);
  if (uid.empty()) report.required("metadata.uid");
  const Value& labels = spec["template"]["metadata"]["labels"];
  Value expected = Value::object();
  auto must_have = [&](const char* label, std::string_view value) {
    expected.set(label, value);
    const std::string path = at_key("spec.template.metadata.labels", label),
                      detail = "must be '" + std::string(value) + "'";
    if (!labels.contains(label)) {
      report.required(path, detail);
    } else if (labels[label].as_string() != value) {
      report.invalid(path, labels, detail);
    }
  };
  for (std::size_t i = 0; i < std::size(kUidLabels); ++i) {
    if (!prefixed && std::string_view(kUidLabels[i]).find('/') != std::string_view::npos) continue;
    must_have(kUidLabels[i], uid);
    must_have(kNameLabels[i], name);
  }
  const auto selector = api::LabelSelector::of_object(spec["selector"]);
  if (selector.ok() && !selector->matches(expected)) {
    report.invalid_shown("spec.selector", shown_selector(spec["selector"]), "`selector` not auto-generated");
  }
}

// --- Updates

bool condition_true(const Value& job, std::string_view type) { return api::condition_is_true(job, type); }

// `pod_template`: the old one, with the fields that a suspended job may change taken from the new one. `movable`: the
// job may change them, and anything of spec.template.metadata.
struct ComparedTemplate {
  Value pod_template;
  bool movable;
};
ComparedTemplate template_to_compare(const Value& before, const Value& after) {
  const Value& spec = before["spec"];
  Value old = spec["template"];
  const Value& fresh = after["spec"]["template"];
  if (!spec["suspend"].as_bool()) return {std::move(old), false};
  const bool at_rest = condition_true(before, "Suspended") && before["status"]["active"].as_int() == 0;
  const bool movable = at_rest || before["status"]["startTime"].is_null();
  if (movable) {
    const Value &node_affinity = fresh["spec"]["affinity"]["nodeAffinity"], &old_affinity = old["spec"]["affinity"];
    if (!old_affinity.is_null() || !node_affinity.is_null()) {
      Value affinity = old_affinity.is_null() ? Value::object() : old_affinity;
      api::copy_field(affinity, fresh["spec"]["affinity"], "nodeAffinity");
      if (affinity.empty() && fresh["spec"]["affinity"].is_null()) {
        old.mut("spec").erase("affinity");
      } else {
        old.mut("spec").set("affinity", std::move(affinity));
      }
    }
    for (const char* field : {"nodeSelector", "tolerations", "schedulingGates"})
      api::copy_field(old.mut("spec"), fresh["spec"], field);
    for (const char* list : {"containers", "initContainers"}) {
      if (old["spec"][list].size() != fresh["spec"][list].size()) continue;
      for (std::size_t i = 0; i < fresh["spec"][list].size(); ++i)
        api::copy_field(old.mut("spec").mut(list).mut(i), fresh["spec"][list][i], "resources");
    }
  }
  return {std::move(old), movable};
}

void validate_completions_update(Report& report, const Value& before, const Value& after) {
  if (!is_indexed(after))
    return validate_immutable(report, "spec.completions", before["completions"], after["completions"]);
  if (before["completions"] == after["completions"] || after["completions"].is_null()) return;
  if (after["completions"] != after["parallelism"]) {
    report.invalid("spec.completions", after["completions"], "can only be modified in tandem with spec.parallelism");
  }
}

// --- The status

void validate_uncounted(Report& report, const Value& uncounted) {
  std::set<std::string_view> seen;
  for (const char* list : {"succeeded", "failed"}) {
    std::size_t index = 0;
    for (const Value& uid : uncounted[list]) {
      const std::string here = at(std::string("status.uncountedTerminatedPods.") + list, index++);
      if (uid.as_string().empty()) {
        report.invalid(here, uid, "must not be empty");
      } else if (!seen.insert(uid.as_string()).second) {
        report.duplicate(here, uid);
      }
    }
  }
}

// No index is both.
void validate_apart(Report& report, const Value& status, std::int64_t completions) {
  const auto completed = parse_indexes(status["completedIndexes"].as_string(), completions);
  const auto failed = parse_indexes(status["failedIndexes"].as_string(), completions);
  if (!completed.ok() || !failed.ok()) return;
  for (const auto& [first, last] : *completed) {
    for (const auto& [from, to] : *failed) {
      if (first > to || from > last) continue;
      return report.invalid(
          "status.failedIndexes", status["failedIndexes"],
          "failedIndexes and completedIndexes overlap at index: " + std::to_string(std::max(first, from)));
    }
  }
}

void validate_status_indexes(Report& report, const Value& before, const Value& after) {
  const Value &old = before["status"], &status = after["status"], &spec = after["spec"];
  const bool completed_changed = old["completedIndexes"] != status["completedIndexes"],
             failed_changed = old["failedIndexes"] != status["failedIndexes"];
  const std::int64_t completions = spec["completions"].as_int();
  auto parses = [&](const char* field) {
    const auto parsed = parse_indexes(status[field].as_string(), completions);
    if (!parsed.ok())
      report.invalid(std::string("status.") + field, status[field],
                     std::string("error parsing ") + field + ": " + parsed.error().message);
  };
  if (completed_changed && spec["completions"].is_int()) parses("completedIndexes");
  if (failed_changed && spec["completions"].is_int() && spec["backoffLimitPerIndex"].is_int()) parses("failedIndexes");
  if (completed_changed && !is_indexed(spec) && !status["completedIndexes"].as_string().empty()) {
    report.invalid("status.completedIndexes", status["completedIndexes"],
                   "cannot set non-empty completedIndexes when non-indexed completion mode");
  }
  if (failed_changed && spec["backoffLimitPerIndex"].is_null() && !status["failedIndexes"].is_null()) {
    report.invalid("status.failedIndexes", status["failedIndexes"],
                   "cannot set non-null failedIndexes when backoffLimitPerIndex is null");
  }
  if ((completed_changed || failed_changed) && spec["completions"].is_int())
    validate_apart(report, status, completions);
}

// How the conditions, the times and the counts have to go together, as far as they changed.
void validate_status_consistent(Report& report, const Value& before, const Value& after) {
  const Value &old = before["status"], &status = after["status"];
  auto changed = [&](const char* field) { return old[field] != status[field]; };
  auto turned = [&](const char* type) { return condition_true(before, type) != condition_true(after, type); };
  const bool complete = condition_true(after, "Complete"), failed = condition_true(after, "Failed"),
             finished = complete || failed;
  const bool was_finished = condition_true(before, "Complete") || condition_true(before, "Failed");
  const Value &started = status["startTime"], &completed = status["completionTime"];
  auto conditions = [&](const char* detail) { invalid_whole(report, "status.conditions", detail); };
  if ((turned("Complete") || turned("Failed")) && complete && failed)
    conditions("cannot set Complete=True and Failed=true conditions");
  if ((turned("Complete") || turned("FailureTarget")) && complete && condition_true(after, "FailureTarget")) {
    conditions("cannot set Complete=True and FailureTarget=true conditions");
  }
  const bool completion_moved = turned("Complete") || changed("completionTime");
  if (completion_moved && !completed.is_null() && !complete) {
    report.invalid("status.completionTime", completed,
                   "cannot set completionTime when there is no Complete=True condition");
  }
  if (completion_moved && completed.is_null() && complete)
    report.required("status.completionTime", "completionTime is required for Complete jobs");
  if ((changed("startTime") || changed("completionTime")) && !started.is_null() && !completed.is_null() &&
      completed.as_string() < started.as_string()) {
    report.invalid("status.completionTime", completed, "completionTime cannot be set before startTime");
  }
  if ((finished != was_finished || changed("active")) && finished && status["active"].as_int() > 0) {
    report.invalid("status.active", status["active"], "active>0 is invalid for finished job");
  }
  if ((finished != was_finished || changed("terminating")) && finished && status["terminating"].as_int() > 0) {
    report.invalid("status.terminating", status["terminating"], "terminating>0 is invalid for finished job");
  }
  if ((changed("ready") || changed("active")) && !status["ready"].is_null() &&
      status["ready"].as_int() > status["active"].as_int()) {
    report.invalid("status.ready", status["ready"], "cannot set more ready pods than active");
  }
  if ((finished != was_finished || changed("startTime")) && finished && started.is_null()) {
    report.required("status.startTime", "startTime is required for finished job");
  }
  const Value& uncounted = status["uncountedTerminatedPods"];
  if ((finished != was_finished || changed("uncountedTerminatedPods")) && finished &&
      uncounted["succeeded"].size() + uncounted["failed"].size() > 0) {
    report.invalid_shown("status.uncountedTerminatedPods",
                         shown_as_go(uncounted, "io.k8s.api.batch.v1.UncountedTerminatedPods"),
                         "uncountedTerminatedPods needs to be empty for finished job");
  }
  validate_status_indexes(report, before, after);
  const bool met = condition_true(after, "SuccessCriteriaMet");
  if (met && failed) conditions("cannot set SuccessCriteriaMet=True and Failed=true conditions");
  if (met && condition_true(after, "FailureTarget"))
    conditions("cannot set SuccessCriteriaMet=True and FailureTarget=true conditions");
  if (after["spec"]["successPolicy"].is_object() && !met && complete) {
    conditions("cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True");
  }
}

void validate_status_monotonic(Report& report, const Value& before, const Value& after) {
  const Value &old = before["status"], &status = after["status"];
  for (const char* type : {"Failed", "Complete", "FailureTarget"}) {
    if (condition_true(before, type) && !condition_true(after, type)) {
      invalid_whole(report, "status.conditions",
                    "cannot disable the terminal " + std::string(type) + "=True condition");
    }
  }
  if (status["failed"].as_int() < old["failed"].as_int())
    report.invalid("status.failed", status["failed"].as_int(), "cannot decrease the failed counter");
  // The completed indexes of a job that was made smaller are gone.
  const bool elastic = is_indexed(after["spec"]) && after["spec"]["completions"] == after["spec"]["parallelism"];
  if (!elastic && status["succeeded"].as_int() < old["succeeded"].as_int()) {
    report.invalid("status.succeeded", status["succeeded"].as_int(), "cannot decrease the succeeded counter");
  }
  if (!status["completionTime"].is_null() && !old["completionTime"].is_null() &&
      status["completionTime"] != old["completionTime"]) {
    report.invalid("status.completionTime", status["completionTime"], "completionTime cannot be mutated");
  }
  if (!old["startTime"].is_null() && status["startTime"] != old["startTime"] && !after["spec"]["suspend"].as_bool()) {
    report.invalid("status.startTime", status["startTime"], "field is immutable for unsuspended job once set");
  }
  if (condition_true(before, "SuccessCriteriaMet") && !condition_true(after, "SuccessCriteriaMet")) {
    invalid_whole(report, "status.conditions", "cannot disable the SuccessCriteriaMet=True condition");
  }
  if (condition_true(before, "Complete") && !condition_true(before, "SuccessCriteriaMet") &&
      condition_true(after, "SuccessCriteriaMet")) {
    invalid_whole(report, "status.conditions",
                  "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions");
  }
}

// --- Cron jobs

void validate_schedule(Report& report, const Value& schedule, const Value& zone, bool zone_inside_allowed) {
  const std::string path = "spec.schedule";
  if (schedule.as_string().empty()) return report.required(path);
  const auto parsed = api::CronSchedule::parse(schedule.as_string());
  if (!parsed.ok()) report.invalid(path, schedule, parsed.error().message);
  if (schedule.as_string().find("TZ") == std::string_view::npos) return;
  if (!zone_inside_allowed) {
    report.invalid(path, schedule, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
  } else if (!zone.is_null()) {
    report.invalid(path, schedule, "cannot use both timeZone field and TZ or CRON_TZ in schedule");
  }
}

bool is_zone_part(std::string_view part) {
  if (part.empty() || part.size() > 14 || part == "." || part == ".." || part[0] == '-') return false;
  return std::all_of(part.begin(), part.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
           c == '_' || c == '+';
  });
}

void validate_time_zone(Report& report, const Value& zone) {
  const std::string path = "spec.timeZone";
  if (zone.is_null()) return;
  const std::string_view name = zone.as_string();
  if (name.empty()) return report.invalid(path, zone, "timeZone must be nil or non-empty string");
  for (std::string_view part : split(name, '/')) {
    if (!is_zone_part(part)) return report.invalid(path, zone, "unknown time zone " + std::string(name));
  }
  if (iequals(name, "Local"))
    report.invalid(path, zone, "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones");
  if (const auto found = api::TimeZone::named(name); !found.ok()) report.invalid(path, zone, found.error().message);
}

void validate_cron_job_spec(Report& report, const Value* before, const Value& after) {
  const bool zone_inside_allowed = before && (*before)["schedule"].as_string().find("TZ") != std::string_view::npos;
  validate_schedule(report, after["schedule"], after["timeZone"], zone_inside_allowed);
  report.not_negative("spec.startingDeadlineSeconds", after["startingDeadlineSeconds"]);
  if (!before || (*before)["timeZone"] != after["timeZone"]) validate_time_zone(report, after["timeZone"]);
  report.one_of("spec.concurrencyPolicy", after["concurrencyPolicy"], {"Allow", "Forbid", "Replace"}, true);
  const Value& job = after["jobTemplate"]["spec"];
  const std::string path = "spec.jobTemplate.spec";
  validate_spec(report, path, job);
  if (!job["selector"].is_null())
    report.invalid_shown(path + ".selector", shown_selector(job["selector"]), "`selector` will be auto-generated");
  if (job["manualSelector"].as_bool())
    report.add(api::not_supported(path + ".manualSelector", job["manualSelector"], {"nil", "false"}));
  report.not_negative("spec.successfulJobsHistoryLimit", after["successfulJobsHistoryLimit"]);
  report.not_negative("spec.failedJobsHistoryLimit", after["failedJobsHistoryLimit"]);
}

void check_job(Report& report, const Value& job, bool prefixed) {
  const Value& spec = job["spec"];
  validate_generated_selector(report, job, prefixed);
  validate_spec(report, "spec", spec);
  bool usable = true;
  if (!spec["selector"].is_object()) {
    report.required("spec.selector");
  } else {
    const std::size_t before = report.size();
    validate_label_selector(report, "spec.selector", spec["selector"]);
    usable = report.size() == before;
  }
  const Value& labels = spec["template"]["metadata"]["labels"];
  const auto selector = api::LabelSelector::of_object(spec["selector"]);
  if (usable && selector.ok() && !selector->matches(labels)) {
    report.invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`");
  }
  if (!is_indexed(spec) || spec["completions"].as_int() <= 0) return;
  // The pods' host names end in their index.
  const std::string longest = std::string(api::name_of(job)) + "-" + std::to_string(spec["completions"].as_int() - 1);
  if (!is_dns1123_label(longest).empty()) {
    report.invalid("metadata.name", api::name_of(job),
                   "will not able to create pod with invalid DNS label: " + longest);
  }
}

}  // namespace

void validate_job(Report& report, const Value& job) { check_job(report, job, true); }

void validate_job_update(Report& report, const Value& before, const Value& after) {
  const Value &old = before["spec"], &spec = after["spec"];
  const Value& labels = old["template"]["metadata"]["labels"];
  check_job(report, after,
            labels.contains("batch.kubernetes.io/controller-uid") && labels.contains("batch.kubernetes.io/job-name"));
  validate_metadata_update(report, before["metadata"], after["metadata"]);
  validate_completions_update(report, old, spec);
  constexpr std::string_view kImmutable = "field is immutable";
  if (old["selector"] != spec["selector"])
    report.invalid_shown("spec.selector", shown_selector(spec["selector"]), kImmutable);
  const auto [pod_template, movable] = template_to_compare(before, after);
  if (movable && pod_template["spec"] != spec["template"]["spec"]) {
    report.invalid_shown("spec.template.spec", shown_as_go(spec["template"]["spec"], "io.k8s.api.core.v1.PodSpec"),
                         kImmutable);
  }
  if (!movable && pod_template != spec["template"]) {
    report.invalid_shown("spec.template", shown_as_go(spec["template"], "io.k8s.api.core.v1.PodTemplateSpec"),
                         kImmutable);
  }
  for (const auto& [field, type] : std::initializer_list<std::pair<const char*, std::string_view>>{
           {"podFailurePolicy", "io.k8s.api.batch.v1.PodFailurePolicy"},
           {"successPolicy", "io.k8s.api.batch.v1.SuccessPolicy"}}) {
    if (old[field] != spec[field])
      report.invalid_shown(std::string("spec.") + field, shown_as_go(spec[field], type), kImmutable);
  }
  for (const char* field : {"completionMode", "backoffLimitPerIndex", "managedBy"}) {
    validate_immutable(report, std::string("spec.") + field, old[field], spec[field]);
  }
}

void validate_job_status_update(Report& report, const Value& before, const Value& after) {
  for (const char* field : {"active", "succeeded", "failed", "ready", "terminating"}) {
    report.not_negative(std::string("status.") + field, after["status"][field]);
  }
  validate_uncounted(report, after["status"]["uncountedTerminatedPods"]);
  validate_status_consistent(report, before, after);
  validate_status_monotonic(report, before, after);
}

void validate_cron_job(Report& report, const Value& cron_job) {
  validate_cron_job_spec(report, nullptr, cron_job["spec"]);
  // Its jobs are named after it, and their pods after them.
  if (api::name_of(cron_job).size() > kCronJobNameBytes) {
    report.invalid("metadata.name", api::name_of(cron_job), "must be no more than 52 characters");
  }
}

void validate_cron_job_update(Report& report, const Value& before, const Value& after) {
  validate_metadata_update(report, before["metadata"], after["metadata"]);
  validate_cron_job_spec(report, &before["spec"], after["spec"]);
}

}  // namespace berth::apiserver::validation
