// What is refused of jobs and cron jobs, one change at a time to a valid one.
#include <gtest/gtest.h>

#include "api/schema/schema.h"
#include "apiserver/validation/validation.h"
#include "base/text.h"

namespace berth::apiserver::validation {
namespace {

Value parsed(std::string_view text) {
  Result<Value> value = json::parse(text);
  EXPECT_TRUE(value.ok()) << text;
  return value.ok() ? *value : Value();
}

const api::schema::Kind& kind(const char* name) { return *api::schema::builtin().find_kind("batch/v1", name); }

// Members of `changes` replace those of `object`, depth first; null takes one away.
void merge(Value& object, const Value& changes) {
  for (auto [key, value] : changes.entries()) {
    if (value.is_null()) {
      object.erase(key);
    } else if (value.is_object() && object[key].is_object()) {
      merge(object.mut(key), value);
    } else {
      object.set(key, value);
    }
  }
}

Value job_with(std::string_view changes) {
  Value job = parsed(R"({"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"j","namespace":"d","uid":"u"},"spec":{
      "selector":{"matchLabels":{"batch.kubernetes.io/controller-uid":"u"}},
      "template":{"metadata":{"labels":{"job-name":"j","controller-uid":"u","batch.kubernetes.io/job-name":"j","batch.kubernetes.io/controller-uid":"u"}},
        "spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"i"}],"initContainers":[{"name":"before","image":"i"}]}}}})");
  merge(job, parsed(changes));
  Result<Value> decoded = api::schema::decode(kind("Job"), job, nullptr);
  EXPECT_TRUE(decoded.ok()) << changes;
  if (!decoded.ok()) return job;
  api::schema::apply_defaults(kind("Job"), *decoded);
  return *decoded;
}

std::string lines(const std::vector<Cause>& causes) {
  std::string out;
  for (const Cause& cause : causes) out += (out.empty() ? "" : "\n") + cause.field + ": " + cause.message;
  return out;
}
std::string job_complaints(std::string_view spec) {
  return lines(validate_create(kind("Job"), job_with(R"({"spec":)" + std::string(spec) + "}")));
}

std::string rules(std::string_view rule, std::string_view more = "") {
  return R"({"podFailurePolicy":{"rules":[)" + std::string(rule) + "]}" + std::string(more) + "}";
}
std::string success(std::string_view rule) {
  return R"({"completionMode":"Indexed","completions":10,"successPolicy":{"rules":[)" + std::string(rule) + "]}}";
}

struct Row {
  std::string spec;
  const char* complaints;
};

TEST(BatchValidation, JobSpecs) {
  const Row kRows[] = {
      {"{}", ""},
      {R"({"parallelism":-1})", "spec.parallelism: Invalid value: -1: must be greater than or equal to 0"},
      {R"({"ttlSecondsAfterFinished":-1})",
       "spec.ttlSecondsAfterFinished: Invalid value: -1: must be greater than or equal to 0"},
      {R"({"activeDeadlineSeconds":-1})",
       "spec.activeDeadlineSeconds: Invalid value: -1: must be greater than or equal to 0"},
      {R"({"maxFailedIndexes":1,"completionMode":"Indexed","completions":1})",
       "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified"},
      {R"({"managedBy":"kubernetes.io/job-controller"})", ""},
      {R"({"managedBy":""})", "spec.managedBy: Required value"},
      {R"({"managedBy":"me"})",
       "spec.managedBy: Invalid value: \"me\": must be a domain-prefixed path (such as \"acme.io/foo\")"},
      {R"({"managedBy":"acme.io/a b"})",
       "spec.managedBy: Invalid value: \"a b\": Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')"},
      {R"({"managedBy":"acme.io/)" + std::string(60, 'x') + "\"}",
       "spec.managedBy: Too long: may not be more than 63 bytes"},
      {R"({"completionMode":"Odd"})",
       "spec.completionMode: Unsupported value: \"Odd\": supported values: \"NonIndexed\", \"Indexed\""},
      {R"({"completionMode":"Indexed","parallelism":2})",
       "spec.completions: Required value: when completion mode is Indexed"},
      {R"({"completionMode":"Indexed","completions":1,"parallelism":100001})",
       "spec.parallelism: Invalid value: 100001: must be less than or equal to 100000 when completion mode is Indexed"},
      {R"({"completionMode":"Indexed","completions":1,"backoffLimitPerIndex":1,"maxFailedIndexes":2})",
       "spec.maxFailedIndexes: Invalid value: 2: must be less than or equal to completions"},
      {R"({"completionMode":"Indexed","completions":100001,"parallelism":10001,"backoffLimitPerIndex":1})",
       "spec.maxFailedIndexes: Required value: must be specified when completions is above 100000\n"
       "spec.parallelism: Invalid value: 10001: must be less than or equal to 10000 when completions are above 100000 and used with backoff limit per index"},
      {R"({"backoffLimitPerIndex":1,"maxFailedIndexes":1})",
       "spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode\n"
       "spec.maxFailedIndexes: Invalid value: 1: requires indexed completion mode"},
      {R"({"template":{"spec":{"restartPolicy":"Always"}}})",
       "spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\""},
      {R"({"podReplacementPolicy":"Odd"})",
       "spec.podReplacementPolicy: Unsupported value: \"Odd\": supported values: \"Failed\", \"TerminatingOrFailed\""},
      {R"({"selector":null,"manualSelector":true})",
       "spec.selector: Required value\nspec.template.metadata.labels: Invalid value: {\"batch.kubernetes.io/controller-uid\":\"u\","
       "\"batch.kubernetes.io/job-name\":\"j\",\"controller-uid\":\"u\",\"job-name\":\"j\"}: `selector` does not match template `labels`"},
      {R"({"selector":{"matchLabels":{"a":"b"}},"manualSelector":true})",
       "spec.template.metadata.labels: Invalid value: {\"batch.kubernetes.io/controller-uid\":\"u\","
       "\"batch.kubernetes.io/job-name\":\"j\",\"controller-uid\":\"u\",\"job-name\":\"j\"}: `selector` does not match template `labels`"},
      {R"({"selector":{"matchLabels":{"a":"b c"}},"manualSelector":true})",
       "spec.selector.matchLabels: Invalid value: \"b c\": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
       "and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
       "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"},
      {R"({"template":{"metadata":{"labels":{"job-name":null}}}})",
       "spec.template.metadata.labels[job-name]: Required value: must be 'j'"},
  };
  for (const Row& row : kRows) EXPECT_EQ(job_complaints(row.spec), row.complaints) << row.spec;
}

TEST(BatchValidation, FailurePolicies) {
  const std::string codes = R"({"action":"FailJob","onExitCodes":{"operator":"In","values":[1,2]}})";
  const Row kRows[] = {
      {rules(codes), ""},
      {rules(R"({"action":"Ignore","onPodConditions":[{"type":"DisruptionTarget"}]})"), ""},
      {rules(codes, R"(,"podReplacementPolicy":"TerminatingOrFailed")"),
       "spec.podReplacementPolicy: Unsupported value: \"TerminatingOrFailed\": supported values: \"Failed\""},
      {rules(codes, R"(,"template":{"spec":{"restartPolicy":"OnFailure"}})"),
       "spec.template.spec.restartPolicy: Invalid value: \"OnFailure\": only \"Never\" is supported when podFailurePolicy is specified"},
      {rules(R"({"onExitCodes":{"operator":"In","values":[1]}})"),
       "spec.podFailurePolicy.rules[0].action: Required value: valid values: [\"Count\" \"FailIndex\" \"FailJob\" \"Ignore\"]"},
      {rules(R"({"action":"Odd","onExitCodes":{"operator":"In","values":[1]}})"),
       "spec.podFailurePolicy.rules[0].action: Unsupported value: \"Odd\": supported values: \"Count\", \"FailIndex\", \"FailJob\", \"Ignore\""},
      {rules(R"({"action":"FailIndex","onExitCodes":{"operator":"In","values":[1]}})"),
       "spec.podFailurePolicy.rules[0].action: Invalid value: \"FailIndex\": requires the backoffLimitPerIndex to be set"},
      {rules(R"({"action":"Count"})"),
       "spec.podFailurePolicy.rules[0]: Invalid value: specifying one of OnExitCodes and OnPodConditions is required"},
      {rules(
           R"({"action":"Count","onExitCodes":{"operator":"In","values":[1]},"onPodConditions":[{"type":"A","status":"True"}]})"),
       "spec.podFailurePolicy.rules[0]: Invalid value: specifying both OnExitCodes and OnPodConditions is not supported"},
      {rules(R"({"action":"Count","onExitCodes":{"operator":"Odd","values":[]}})"),
       "spec.podFailurePolicy.rules[0].onExitCodes.operator: Unsupported value: \"Odd\": supported values: \"In\", \"NotIn\"\n"
       "spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: null: at least one value is required"},
      {rules(R"({"action":"Count","onExitCodes":{"operator":"In","containerName":"x","values":[2,0,2]}})"),
       "spec.podFailurePolicy.rules[0].onExitCodes.containerName: Invalid value: \"x\": must be one of the container or initContainer names in the pod template\n"
       "spec.podFailurePolicy.rules[0].onExitCodes.values[1]: Invalid value: 0: must not be 0 for the In operator\n"
       "spec.podFailurePolicy.rules[0].onExitCodes.values[2]: Duplicate value: 2\n"
       "spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: [2,0,2]: must be ordered"},
      {rules(R"({"action":"Count","onExitCodes":{"operator":"NotIn","containerName":"before","values":[0]}})"), ""},
      {rules(R"({"action":"Count","onPodConditions":[{"type":"A","status":"Odd"}]})"),
       "spec.podFailurePolicy.rules[0].onPodConditions[0].status: Unsupported value: \"Odd\": supported values: \"False\", \"True\", \"Unknown\""},
  };
  for (const Row& row : kRows) EXPECT_EQ(job_complaints(row.spec), row.complaints) << row.spec;
  std::string many;
  for (int i = 0; i < 21; ++i) many += (i ? "," : "") + codes;
  EXPECT_EQ(job_complaints(rules(many)), "spec.podFailurePolicy.rules: Too many: 21: must have at most 20 items");
}

TEST(BatchValidation, SuccessPolicies) {
  const std::string where = "spec.successPolicy.rules[0].succeededIndexes: Invalid value: ";
  const Row kRows[] = {
      {success(R"({"succeededIndexes":"0,2-4","succeededCount":3})"), ""},
      {success(""),
       "spec.successPolicy.rules: Required value: at least one rules must be specified when the successPolicy is specified"},
      {success("{}"),
       "spec.successPolicy.rules[0]: Required value: at least one of succeededCount or succeededIndexes must be specified"},
      {success(R"({"succeededCount":11})"),
       "spec.successPolicy.rules[0].succeededCount: Invalid value: 11: must be less than or equal to 10 (the number of specified completions)"},
      {success(R"({"succeededIndexes":"0,2-4","succeededCount":5})"),
       "spec.successPolicy.rules[0].succeededCount: Invalid value: 5: must be less than or equal to 4 (the number of indexes in the specified "
       "succeededIndexes field)"},
      {R"({"successPolicy":{"rules":[{"succeededCount":1}]}})",
       "spec.successPolicy: Invalid value: {\"Rules\":[{\"SucceededIndexes\":null,\"SucceededCount\":1}]}: requires indexed completion mode"},
  };
  for (const Row& row : kRows) EXPECT_EQ(job_complaints(row.spec), row.complaints) << row.spec;
  const std::pair<const char*, const char*> kIndexes[] = {
      {"x", "cannot convert string to integer for index: \"x\""},
      {"10", "too large index: \"10\""},
      {"1-", "cannot convert string to integer for index: \"\""},
      {"3-2", "non-increasing order, previous: 3, current: 2"},
      {"1,1", "non-increasing order, previous: 1, current: 1"},
      {"1-2-3",
       "the fragment \"1-2-3\" violates the requirement that an index interval can have at most two parts separated by '-'"}};
  for (const auto& [text, words] : kIndexes) {
    EXPECT_EQ(job_complaints(success(R"({"succeededIndexes":")" + std::string(text) + "\"}")),
              where + quoted(text) + ": error parsing succeededIndexes: " + words);
  }
}

TEST(BatchValidation, IndexedJobsNeedNamesThatFitHosts) {
  const std::string name(62, 'j');
  Value job = job_with(R"({"spec":{"completionMode":"Indexed","completions":10,"manualSelector":true}})");
  job.mut("metadata").set("name", name);
  EXPECT_EQ(lines(validate_create(kind("Job"), job)),
            "metadata.name: Invalid value: \"" + name +
                "\": will not able to create pod with invalid DNS label: " + name + "-9");
}

TEST(BatchValidation, JobUpdates) {
  struct UpdateRow {
    const char *before, *after, *complaints;
  };
  const UpdateRow kRows[] = {
      {"{}",
       R"({"spec":{"parallelism":3,"suspend":true,"backoffLimit":1,"activeDeadlineSeconds":5,"ttlSecondsAfterFinished":1}})",
       ""},
      {"{}", R"({"spec":{"completions":2}})", "spec.completions: Invalid value: 2: field is immutable"},
      {R"({"spec":{"completionMode":"Indexed","completions":3,"parallelism":3}})",
       R"({"spec":{"completions":2,"parallelism":2}})", ""},
      {R"({"spec":{"completionMode":"Indexed","completions":3,"parallelism":3}})", R"({"spec":{"completions":2}})",
       "spec.completions: Invalid value: 2: can only be modified in tandem with spec.parallelism"},
      {"{}", R"({"spec":{"completionMode":"Indexed"}})",
       "spec.completionMode: Invalid value: \"Indexed\": field is immutable"},
      {"{}", R"({"spec":{"managedBy":"acme.io/foo"}})",
       "spec.managedBy: Invalid value: \"acme.io/foo\": field is immutable"},
      {"{}", R"({"spec":{"template":{"spec":{"nodeSelector":{"a":"b"}}}}})", "template"},
      {R"({"spec":{"suspend":true}})",
       R"({"spec":{"template":{"metadata":{"annotations":{"a":"b"}},"spec":{"nodeSelector":{"a":"b"},
          "affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[
            {"matchExpressions":[{"key":"k","operator":"Exists"}]}]}}}}}}})",
       ""},
      {R"({"spec":{"suspend":true}})", R"({"spec":{"template":{"spec":{"terminationGracePeriodSeconds":1}}}})", "pods"},
      {R"({"spec":{"suspend":true},"status":{"startTime":"2026-01-01T00:00:00Z"}})",
       R"({"spec":{"template":{"spec":{"nodeSelector":{"a":"b"}}}}})", "template"},
      {R"({"spec":{"suspend":true},"status":{"conditions":[{"type":"Suspended","status":"True"}]}})",
       R"({"spec":{"template":{"spec":{"nodeSelector":{"a":"b"},
          "containers":[{"name":"c","image":"i","resources":{"requests":{"cpu":"1"}},"imagePullPolicy":"Always","terminationMessagePath":"/dev/termination-log",
            "terminationMessagePolicy":"File"}]}}}})",
       ""},
      {R"({"spec":{"suspend":true},"status":{"active":1,"conditions":[{"type":"Suspended","status":"True"}],"startTime":"2026-01-01T00:00:00Z"}})",
       R"({"spec":{"template":{"spec":{"nodeSelector":{"a":"b"}}}}})", "template"},
  };
  for (const UpdateRow& row : kRows) {
    const Value before = job_with(row.before);
    Value after = before;
    merge(after, parsed(row.after));
    const std::string found = lines(validate_update(kind("Job"), before, after, ""));
    // Of a suspended job that has not started, the pods' spec alone counts.
    const std::string_view complaints = row.complaints,
                           place = complaints == "template" ? "spec.template" : "spec.template.spec";
    if (complaints == "template" || complaints == "pods") {
      EXPECT_TRUE(found.find(": Invalid value: ") == place.size() && found.starts_with(place) &&
                  found.ends_with(": field is immutable"))
          << row.after << ": " << found;
    } else {
      EXPECT_EQ(found, row.complaints) << row.after;
    }
  }
}

TEST(BatchValidation, JobStatuses) {
  struct StatusRow {
    const char *spec, *before, *after, *complaints;
  };
  const char* running = R"({"startTime":"2026-01-01T00:00:00Z","active":1,"succeeded":1,"failed":1})";
  const StatusRow kRows[] = {
      {"{}", running, R"({"active":0,"succeeded":2,"completionTime":"2026-01-01T00:00:05Z",
          "conditions":[{"type":"SuccessCriteriaMet","status":"True"},{"type":"Complete","status":"True"}]})",
       ""},
      {"{}", running, R"({"active":-1})", "status.active: Invalid value: -1: must be greater than or equal to 0"},
      {"{}", running, R"({"failed":0})", "status.failed: Invalid value: 0: cannot decrease the failed counter"},
      {"{}", running, R"({"succeeded":0})",
       "status.succeeded: Invalid value: 0: cannot decrease the succeeded counter"},
      {"{}", running, R"({"startTime":null})",
       "status.startTime: Invalid value: null: field is immutable for unsuspended job once set"},
      {R"({"suspend":true})", running, R"({"startTime":null})", ""},
      {"{}", running, R"({"completionTime":"2025-01-01T00:00:05Z"})",
       "status.completionTime: Invalid value: \"2025-01-01T00:00:05Z\": cannot set completionTime when there is no Complete=True condition\n"
       "status.completionTime: Invalid value: \"2025-01-01T00:00:05Z\": completionTime cannot be set before startTime"},
      {"{}", running, R"({"conditions":[{"type":"Failed","status":"True"}]})",
       "status.active: Invalid value: 1: active>0 is invalid for finished job"},
      {"{}", R"({})", R"({"conditions":[{"type":"Failed","status":"True"}]})",
       "status.startTime: Required value: startTime is required for finished job"},
      {"{}", R"({"conditions":[{"type":"FailureTarget","status":"True"}]})", R"({"conditions":null})",
       "status.conditions: Invalid value: cannot disable the terminal FailureTarget=True condition"},
      {"{}", running, R"({"uncountedTerminatedPods":{"succeeded":["a"],"failed":["a",""]}})",
       "status.uncountedTerminatedPods.failed[0]: Duplicate value: \"a\"\nstatus.uncountedTerminatedPods.failed[1]: Invalid value: \"\": must not be empty"},
      {"{}", running, R"({"completedIndexes":"0"})",
       "status.completedIndexes: Invalid value: \"0\": cannot set non-empty completedIndexes when non-indexed completion mode"},
      {R"({"completionMode":"Indexed","completions":3,"backoffLimitPerIndex":1})", running,
       R"({"completedIndexes":"0-1","failedIndexes":"1"})",
       "status.failedIndexes: Invalid value: \"1\": failedIndexes and completedIndexes overlap at index: 1"},
      {R"({"completionMode":"Indexed","completions":3})", running, R"({"completedIndexes":"3","failedIndexes":""})",
       "status.completedIndexes: Invalid value: \"3\": error parsing completedIndexes: too large index: \"3\"\n"
       "status.failedIndexes: Invalid value: \"\": cannot set non-null failedIndexes when backoffLimitPerIndex is null"},
      {"{}", running,
       R"({"active":0,"conditions":[{"type":"SuccessCriteriaMet","status":"True"},{"type":"FailureTarget","status":"True"}]})",
       "status.conditions: Invalid value: cannot set SuccessCriteriaMet=True and FailureTarget=true conditions"},
  };
  for (const StatusRow& row : kRows) {
    const Value before = job_with(R"({"spec":)" + std::string(row.spec) + R"(,"status":)" + row.before + "}");
    Value after = before;
    merge(after, Value::object({{"status", parsed(row.after)}}));
    EXPECT_EQ(lines(validate_update(kind("Job"), before, after, "status")), row.complaints) << row.after;
  }
}

TEST(BatchValidation, CronJobs) {
  auto cron_job = [](std::string_view changes) {
    Value object = parsed(
        R"({"apiVersion":"batch/v1","kind":"CronJob","metadata":{"name":"c","namespace":"d"},"spec":{"schedule":"@hourly",
        "jobTemplate":{"spec":{"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"i"}]}}}}}})");
    merge(object, parsed(changes));
    api::schema::apply_defaults(kind("CronJob"), object);
    return object;
  };
  const Row kRows[] = {
      {"{}", ""},
      {R"({"timeZone":"Europe/Rome"})", ""},
      {R"({"timeZone":""})", "spec.timeZone: Invalid value: \"\": timeZone must be nil or non-empty string"},
      {R"({"timeZone":"Europe/InvalidRome"})",
       "spec.timeZone: Invalid value: \"Europe/InvalidRome\": unknown time zone Europe/InvalidRome"},
      {R"({"timeZone":" Europe/Rome"})",
       "spec.timeZone: Invalid value: \" Europe/Rome\": unknown time zone  Europe/Rome"},
      {R"({"timeZone":"../etc/passwd"})",
       "spec.timeZone: Invalid value: \"../etc/passwd\": unknown time zone ../etc/passwd"},
      {R"({"timeZone":"Local"})",
       "spec.timeZone: Invalid value: \"Local\": timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"},
      {R"({"schedule":"TZ=UTC 0 * * * *"})",
       "spec.schedule: Invalid value: \"TZ=UTC 0 * * * *\": cannot use TZ or CRON_TZ in schedule, use timeZone field instead"},
      {R"({"schedule":"61 * * * *"})",
       "spec.schedule: Invalid value: \"61 * * * *\": end of range (61) above maximum (59): 61"},
      {R"({"startingDeadlineSeconds":-1})",
       "spec.startingDeadlineSeconds: Invalid value: -1: must be greater than or equal to 0"},
      {R"({"failedJobsHistoryLimit":-1})",
       "spec.failedJobsHistoryLimit: Invalid value: -1: must be greater than or equal to 0"},
      {R"({"jobTemplate":{"spec":{"selector":{"matchLabels":{"a":"b"}},"manualSelector":true}}})",
       "spec.jobTemplate.spec.selector: Invalid value: {\"matchLabels\":{\"a\":\"b\"}}: `selector` will be auto-generated\n"
       "spec.jobTemplate.spec.manualSelector: Unsupported value: true: supported values: \"nil\", \"false\""},
      {R"({"jobTemplate":{"spec":{"template":{"spec":{"restartPolicy":"Always"}}}}})",
       "spec.jobTemplate.spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\""},
  };
  for (const Row& row : kRows) {
    EXPECT_EQ(lines(validate_create(kind("CronJob"), cron_job(R"({"spec":)" + row.spec + "}"))), row.complaints)
        << row.spec;
  }
  const std::string name(53, 'c');
  EXPECT_EQ(lines(validate_create(kind("CronJob"), cron_job(R"({"metadata":{"name":")" + name + "\"}}"))),
            "metadata.name: Invalid value: \"" + name + "\": must be no more than 52 characters");
  // What was good once may stay: a long name, a zone in the schedule, a zone that is no longer known.
  const Value before = cron_job(R"({"metadata":{"name":")" + name + R"("},"spec":{"schedule":"TZ=UTC 0 * * * *"}})");
  Value after = before;
  after.mut("spec").set("suspend", true);
  EXPECT_EQ(lines(validate_update(kind("CronJob"), before, after, "")), "");
  after.mut("spec").set("timeZone", "Europe/Rome");
  EXPECT_EQ(
      lines(validate_update(kind("CronJob"), before, after, "")),
      "spec.schedule: Invalid value: \"TZ=UTC 0 * * * *\": cannot use both timeZone field and TZ or CRON_TZ in schedule");
}

}  // namespace
}  // namespace berth::apiserver::validation
