// What only jobs have: a selector and labels made of their identity, and warnings.
#include "apiserver/registry/state.h"
#include "apiserver/validation/validation.h"
#include "base/text.h"

namespace berth::apiserver::registry {
namespace {

constexpr const char* kUidLabel = "batch.kubernetes.io/controller-uid";

void fill(Value& labels, const char* key, std::string_view value) {
  if (!labels.contains(key)) labels.set(key, value);
}

}  // namespace

void identify_job(Value& job, bool had_labels) {
  if (job["spec"]["manualSelector"].as_bool()) return;
  const std::string uid(api::uid_of(job)), name(api::name_of(job));
  Value& spec = job.mut("spec");
  // What the client set instead is left alone, and refused by validation.
  Value& labels = spec.mut("template").mut("metadata").mut("labels");
  for (const char* key : {"job-name", "batch.kubernetes.io/job-name"}) fill(labels, key, name);
  for (const char* key : {"controller-uid", kUidLabel}) fill(labels, key, uid);
  fill(spec.mut("selector").mut("matchLabels"), kUidLabel, uid);
  // Defaulting gave the job the labels of its template, and what is added to those is added to both.
  if (had_labels || job["metadata"]["labels"].empty()) return;
  Value copy = labels;
  job.mut("metadata").set("labels", std::move(copy));
}

void label_job(Value& job) {
  const Value labels = job["spec"]["template"]["metadata"]["labels"];
  if (job["metadata"]["labels"].empty() && !labels.empty()) job.mut("metadata").set("labels", labels);
}

void warn_of_job(const api::schema::Kind& kind, const Value& object, std::vector<std::string>& warnings) {
  const bool cron = kind.kind == "CronJob";
  const Value& spec = cron ? object["spec"]["jobTemplate"]["spec"] : object["spec"];
  if (spec["completionMode"].as_string() == "Indexed" && spec["completions"].as_int() > 100'000 &&
      spec["parallelism"].as_int() > 10'000) {
    warnings.push_back(
        std::string(cron ? "spec.jobTemplate.spec" : "spec") +
        ": In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes might not be "
        "able to track completedIndexes when a big number of indexes fail");
  }
}

}  // namespace berth::apiserver::registry
