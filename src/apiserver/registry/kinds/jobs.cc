// Jobs have a selector and labels made of their identity. CronJobs make Jobs.
#include "api/object.h"
#include "apiserver/admission/pod_security.h"
#include "apiserver/registry/kind_strategy.h"
#include "apiserver/registry/kinds/generation.h"

namespace berth::apiserver::registry {
namespace {

constexpr const char* kUidLabel = "batch.kubernetes.io/controller-uid";

void fill(Value& labels, const char* key, std::string_view value) {
  if (!labels.contains(key)) labels.set(key, value);
}

// Gives a new job (with name and uid) the labels and the selector by which it knows its pods.
void identify_job(Value& job, bool labelled) {
  if (job["spec"]["manualSelector"].as_bool()) return;
  const std::string uid(api::uid_of(job)), name(api::name_of(job));
  Value& spec = job.mut("spec");
  // Labels that the client set instead are left for validation to refuse.
  Value& labels = spec.mut("template").mut("metadata").mut("labels");
  for (const char* key : {"job-name", "batch.kubernetes.io/job-name"}) fill(labels, key, name);
  for (const char* key : {"controller-uid", kUidLabel}) fill(labels, key, uid);
  fill(spec.mut("selector").mut("matchLabels"), kUidLabel, uid);
  // Defaulting has given the job the labels of its template: it gets the added ones too.
  if (labelled || job["metadata"]["labels"].empty()) return;
  Value copy = labels;
  job.mut("metadata").set("labels", std::move(copy));
}

// A job without labels has those of its pods; after validation, which names a label's fault once.
void label_job(Value& job) {
  const Value labels = job["spec"]["template"]["metadata"]["labels"];
  if (job["metadata"]["labels"].empty() && !labels.empty()) job.mut("metadata").set("labels", labels);
}

void warn_of_size(const Value& spec, const char* path, std::vector<std::string>& warnings) {
  if (spec["completionMode"].as_string() != "Indexed" || spec["completions"].as_int() <= 100'000 ||
      spec["parallelism"].as_int() <= 10'000)
    return;
  warnings.push_back(
      std::string(path) +
      ": In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes might not be "
      "able to track completedIndexes when a big number of indexes fail");
}

void prepare_job(const CreateContext&, Value& object) { object.set("status", Value::object()); }

void complete_job(const CreateContext& context, Value& job) {
  warn_of_size(job["spec"], "spec", context.warnings);
  identify_job(job, context.labelled);
}

void complete_cron_job(const CreateContext& context, Value& object) {
  warn_of_size(object["spec"]["jobTemplate"]["spec"], "spec.jobTemplate.spec", context.warnings);
}

Status check_job_template(const admission::Change& change) {
  admission::warn_of_template_security(change, change.after["spec"]["template"]);
  return ok_status();
}

Status check_cron_template(const admission::Change& change) {
  admission::warn_of_template_security(change, change.after["spec"]["jobTemplate"]["spec"]["template"]);
  return ok_status();
}

void rewrite_successful(api::FieldSelector::Requirement& requirement) {
  if (requirement.field != "status.successful") return;
  requirement.field = "status.succeeded";
  if (requirement.value == "0") requirement.value.clear();  // not written
}

constexpr admission::Check kJobChecks[] = {check_job_template};
constexpr admission::Check kCronChecks[] = {check_cron_template};
constexpr std::string_view kJobFields[] = {"status.successful"};
constexpr const char* kPodsStay =
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set "
    "propagationPolicy=Orphan to suppress this warning";

}  // namespace

std::span<const KindStrategy> job_rows() {
  static const KindStrategy kRows[] = {{.group = "batch",
                                        .kind = "Job",
                                        .selectable_fields = kJobFields,
                                        .rewrite_requirement = rewrite_successful,
                                        .prepare_create = prepare_job,
                                        .complete_create = complete_job,
                                        .after_validation = label_job,
                                        .status_takes_metadata = true,
                                        .changes_generation = spec_changes,
                                        .checks = kJobChecks,
                                        .orphans_dependents = true,
                                        .orphan_warning = kPodsStay},
                                       {.group = "batch",
                                        .kind = "CronJob",
                                        .prepare_create = prepare_job,
                                        .complete_create = complete_cron_job,
                                        .status_takes_metadata = true,
                                        .changes_generation = spec_changes,
                                        .checks = kCronChecks}};
  return kRows;
}

}  // namespace berth::apiserver::registry
