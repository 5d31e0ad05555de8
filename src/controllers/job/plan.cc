#include "controllers/job/plan.h"

#include <algorithm>
#include <map>
#include <set>

#include "api/selector.h"
#include "base/text.h"
#include "base/time/time.h"
#include "controllers/job/indexes.h"
#include "controllers/job/pods.h"
#include "controllers/shared/deletion_order.h"
#include "controllers/shared/numbers.h"

namespace berth::controllers::job {
namespace {

using namespace api::resources;  // NOLINT

constexpr std::size_t kMostAtOnce = 500;     // pods created or deleted by one plan
constexpr std::size_t kMostUncounted = 500;  // uids in the status
constexpr std::size_t kPrefixBytes = 58;     // of a generated name
constexpr std::string_view kNameLetters = "bcdfghjklmnpqrstvwxz2456789";

// The job's result. `type` is the condition that announces it: SuccessCriteriaMet or FailureTarget.
struct JobResult {
  std::string type, reason, message;
  bool success() const { return type == "SuccessCriteriaMet"; }
};

std::string suffix_of(std::uint64_t seed) {
  std::string out;
  for (int i = 0; i < 5; ++i, seed /= kNameLetters.size()) out += kNameLetters[seed % kNameLetters.size()];
  return out;
}

class JobPlanner {
 public:
  JobPlanner(const JobView& view, Time now)
      : view_(view),
        job_(view.job),
        spec_(job_["spec"]),
        now_(now),
        indexed_(is_indexed(job_)),
        status_(job_["status"]) {}

  Plan run();

 private:
  // --- adoption
  bool adopt_and_release_pods();
  void sort_pods();
  // --- results
  void count();
  void count_indexes();
  std::optional<JobResult> announced_result() const;
  std::optional<JobResult> failure();
  std::optional<JobResult> failure_of_indexes() const;
  std::optional<JobResult> success_by_policy() const;
  bool has_completed() const;
  // --- pods to create and delete
  void end_active_pods();
  void manage_pods();
  void delete_pods(const std::vector<Value>& pods);
  std::vector<Value> surplus(std::int64_t at_least);
  void create_pods(std::int64_t count);
  bool is_in_backoff();
  std::vector<std::int64_t> indexes_to_create(std::int64_t count);
  Value pod_of(std::int64_t index) const;
  void add_pod(const std::string& prefix, Value pod);
  // --- status
  void count_untracked();
  void update_tracking();
  bool may_untrack(const Value& pod) const;
  void add_uncounted(const char* list, const Value& pod);
  bool in_uncounted(const std::string& list, const Value& pod) const;
  void report_suspension();
  void report_result();
  void write_status();
  bool set_condition(std::string_view type, std::string_view status, std::string_view reason, std::string_view message);

  std::int64_t completions() const { return count_in(spec_["completions"]); }
  bool per_index() const { return spec_["backoffLimitPerIndex"].is_int(); }
  bool suspended() const { return spec_["suspend"].as_bool(); }
  bool valid_index(const Value& pod) const { return index_of(pod) >= 0 && index_of(pod) < completions(); }
  // True if the pod is tracked and its uid is not in the status yet.
  bool is_newly_ended(const Value& pod, const char* list) const {
    return is_tracked(pod) && !in_uncounted(list, pod) && (!indexed_ || valid_index(pod));
  }

  const JobView& view_;
  const Value& job_;
  const Value& spec_;
  const Time now_;
  const bool indexed_;
  Plan plan_;
  Value status_;                   // as it will be written
  std::vector<EventSpec> events_;  // emitted when the status is written
  std::vector<Value> pods_, active_;
  std::int64_t terminating_ = 0, succeeded_ = 0, failed_ = 0;
  std::set<std::string_view> uncounted_successes_, uncounted_failures_;  // uids in the present status
  Indexes completed_before_, completed_, failed_indexes_;
  // Failed pods retained until their replacement exists, which inherits their failure count; by index.
  std::map<std::int64_t, Value> awaiting_;
  std::optional<JobResult> result_;
  bool pods_managed_ = false;
  // uids of pods whose finalizer this plan removes before deleting them
  std::set<std::string, std::less<>> untracked_by_deletion_;
  std::size_t untracking_ = 0;
  // Seed of the names of new pods, and the number of names derived from it.
  std::string name_seed_;
  std::size_t names_derived_ = 0;
  std::set<std::string, std::less<>> used_names_;
};

Plan JobPlanner::run() {
  plan_.members = view_.pods.size() +
                  static_cast<std::size_t>(std::max(count_in(spec_["completions"]), count_in(spec_["parallelism"], 1)));
  if (adopt_and_release_pods()) return std::move(plan_);
  sort_pods();
  count();
  result_ = announced_result();
  if (!result_) result_ = failure();
  if (indexed_) count_indexes();
  if (!result_ && indexed_) result_ = failure_of_indexes();
  if (!result_ && indexed_) result_ = success_by_policy();
  if (!result_ && has_completed())
    result_ = JobResult{"SuccessCriteriaMet", "CompletionsReached", "Reached expected number of succeeded pods"};
  if (result_) {
    end_active_pods();
  } else if (!api::is_terminating(job_)) {
    manage_pods();
    pods_managed_ = true;
  }
  count_untracked();
  update_tracking();
  write_status();
  return std::move(plan_);
}

// --- Adoption

// Adopts and releases pods. Returns true if these writes must be seen in the cache first.
bool JobPlanner::adopt_and_release_pods() {
  const auto selector = api::LabelSelector::of_object(spec_["selector"]);
  const bool is_deleted = api::is_terminating(job_);
  for (const Value& pod : view_.pods) {
    if (selector.ok() && selector->matches(api::labels_of(pod))) {
      pods_.push_back(pod);
    } else if (selector.ok() && !is_deleted && !api::is_terminating(pod)) {
      Value change = Value::object(
          {{"ownerReferences", Value::array({Value::object({{"$patch", "delete"}, {"uid", api::uid_of(job_)}})})},
           {"$deleteFromPrimitiveList/finalizers", Value::array({kTracking})}});
      plan_.add(patch(kPods, pod, api::PatchType::kStrategic, Value::object({{"metadata", change}})));
    }
  }
  if (!selector.ok() || selector->matches_everything() || is_deleted) return !plan_.chains.empty();
  for (const Value& pod : view_.orphans) {
    if (api::is_terminating(pod) || !selector->matches(api::labels_of(pod))) continue;
    Value change =
        Value::object({{"ownerReferences", Value::array({api::controller_reference(job_, "batch/v1", "Job")})},
                       {"finalizers", Value::array({kTracking})}});
    plan_.add_chain({confirm(kJobs, job_),
                     patch(kPods, pod, api::PatchType::kStrategic, Value::object({{"metadata", change}}), true)});
  }
  return !plan_.chains.empty();
}

void JobPlanner::sort_pods() {
  if (indexed_) {
    std::stable_sort(pods_.begin(), pods_.end(),
                     [](const Value& a, const Value& b) { return index_of(a) < index_of(b); });
  }
  for (const Value& pod : pods_) {
    if (is_active(pod)) {
      active_.push_back(pod);
    } else if (!api::is_pod_terminal(pod)) {
      ++terminating_;
    }
  }
}

// --- Results

bool JobPlanner::in_uncounted(const std::string& list, const Value& pod) const {
  return (list == "succeeded" ? uncounted_successes_ : uncounted_failures_).contains(api::uid_of(pod));
}

void JobPlanner::count() {
  const Value& old = job_["status"];
  for (const Value& uid : old["uncountedTerminatedPods"]["succeeded"]) uncounted_successes_.insert(uid.as_string());
  for (const Value& uid : old["uncountedTerminatedPods"]["failed"]) uncounted_failures_.insert(uid.as_string());
  succeeded_ =
      old["succeeded"].as_int() + static_cast<std::int64_t>(old["uncountedTerminatedPods"]["succeeded"].size());
  failed_ = old["failed"].as_int() + static_cast<std::int64_t>(old["uncountedTerminatedPods"]["failed"].size());
  for (const Value& pod : pods_) {
    if (pod["status"]["phase"].as_string() == "Succeeded") {
      if (is_newly_ended(pod, "succeeded")) ++succeeded_;
    } else if (has_failed(pod, job_) && is_newly_ended(pod, "failed") &&
               match_failure(spec_["podFailurePolicy"], pod).counts) {
      ++failed_;
    }
  }
}

void JobPlanner::count_indexes() {
  const Value& old = job_["status"];
  completed_before_ = Indexes::parse(old["completedIndexes"].as_string(), completions());
  failed_indexes_ = Indexes::parse(old["failedIndexes"].as_string(), completions());
  std::vector<std::int64_t> succeeded, failed;
  std::set<std::int64_t> busy;
  for (const Value& pod : active_) busy.insert(index_of(pod));
  for (const Value& pod : pods_) {
    if (!is_tracked(pod) || !valid_index(pod)) continue;
    if (pod["status"]["phase"].as_string() == "Succeeded") succeeded.push_back(index_of(pod));
    if (!per_index() || !has_failed(pod, job_)) continue;
    const FailureMatch match = match_failure(spec_["podFailurePolicy"], pod);
    if (match.ends_index || (match.counts && failures_of(pod) >= spec_["backoffLimitPerIndex"].as_int()))
      failed.push_back(index_of(pod));
  }
  completed_ = completed_before_.with(std::move(succeeded));
  failed_indexes_ = failed_indexes_.with(std::move(failed));
  succeeded_ = completed_.size();
  if (!per_index()) return;
  for (const Value& pod : pods_) {
    const std::int64_t index = index_of(pod);
    if (!is_tracked(pod) || !valid_index(pod) || !has_failed(pod, job_)) continue;
    if (completed_.has(index) || failed_indexes_.has(index) || busy.contains(index)) continue;
    Value& kept = awaiting_[index];
    auto total = [](const Value& one) { return failures_of(one) + ignored_failures_of(one); };
    if (kept.is_null() || (total(kept) <= total(pod) && finished_at(pod) >= finished_at(kept))) kept = pod;
  }
}

std::optional<JobResult> JobPlanner::announced_result() const {
  for (const char* type : {"SuccessCriteriaMet", "FailureTarget"}) {
    const Value& condition = api::condition_of(job_, type);
    if (condition["status"].as_string() == "True")
      return JobResult{type, condition["reason"].str(), condition["message"].str()};
  }
  return std::nullopt;
}

std::optional<JobResult> JobPlanner::failure() {
  if (spec_["podFailurePolicy"].is_object()) {
    for (const Value& pod : pods_) {
      if (!has_failed(pod, job_)) continue;
      const FailureMatch match = match_failure(spec_["podFailurePolicy"], pod);
      if (!match.ends_job.empty()) return JobResult{"FailureTarget", "PodFailurePolicy", match.ends_job};
    }
  }
  const std::int64_t limit = count_in(spec_["backoffLimit"], per_index() ? INT32_MAX : 6);
  std::int64_t restarts = 0;
  if (spec_["template"]["spec"]["restartPolicy"].as_string() == "OnFailure") {
    for (const Value& pod : pods_) {
      if (api::is_pod_terminal(pod)) continue;
      for (const char* list : {"initContainerStatuses", "containerStatuses"}) {
        for (const Value& container : pod["status"][list]) restarts += container["restartCount"].as_int();
      }
    }
  }
  if (failed_ > limit || restarts >= std::max<std::int64_t>(limit, 1)) {
    return JobResult{"FailureTarget", "BackoffLimitExceeded", "Job has reached the specified backoff limit"};
  }
  const Result<Time> started = parse_time(job_["status"]["startTime"].as_string());
  if (!spec_["activeDeadlineSeconds"].is_int() || suspended()) return std::nullopt;
  const Duration deadline = seconds_in(spec_["activeDeadlineSeconds"]);
  const Duration left = deadline - (started.ok() ? now_ - *started : Duration::zero());
  if (started.ok() && left <= Duration::zero()) {
    return JobResult{"FailureTarget", "DeadlineExceeded", "Job was active longer than specified deadline"};
  }
  plan_.requeue_after(left);
  return std::nullopt;
}

std::optional<JobResult> JobPlanner::failure_of_indexes() const {
  if (!per_index()) return std::nullopt;
  const Value& most = spec_["maxFailedIndexes"];
  if (most.is_int() && failed_indexes_.size() > most.as_int()) {
    return JobResult{"FailureTarget", "MaxFailedIndexesExceeded",
                     "Job has exceeded the specified maximal number of failed indexes"};
  }
  if (!failed_indexes_.empty() && failed_indexes_.size() + completed_.size() >= completions()) {
    return JobResult{"FailureTarget", "FailedIndexes", "Job has failed indexes"};
  }
  return std::nullopt;
}

std::optional<JobResult> JobPlanner::success_by_policy() const {
  if (completed_.empty()) return std::nullopt;
  std::size_t index = 0;
  for (const Value& rule : spec_["successPolicy"]["rules"]) {
    const std::string message = "Matched rules at index " + std::to_string(index++);
    const Value& count = rule["succeededCount"];
    std::int64_t reached = completed_.size(), all = INT64_MAX;
    if (rule["succeededIndexes"].is_string()) {
      const Indexes wanted = Indexes::parse(rule["succeededIndexes"].as_string(), completions());
      if (wanted.empty()) continue;
      reached = wanted.common(completed_);
      all = wanted.size();
    }
    if (reached >= all || (count.is_int() && reached >= count.as_int()))
      return JobResult{"SuccessCriteriaMet", "SuccessPolicy", message};
  }
  return std::nullopt;
}

bool JobPlanner::has_completed() const {
  if (!active_.empty()) return false;
  return spec_["completions"].is_null() ? succeeded_ > 0 : succeeded_ >= completions();
}

// --- Pods to create and delete

Action delete_pod(const Value& job, const Value& pod) {
  Action action = remove(kPods, pod);
  action.succeeded(job, kNormal, "SuccessfulDelete", "Deleted pod: " + std::string(api::name_of(pod)));
  action.failed(job, kWarning, "FailedDelete", "Error deleting: ");
  return action;
}

// The finalizer remains until the pod is counted.
void JobPlanner::end_active_pods() {
  for (const Value& pod : active_) {
    if (plan_.chains.size() >= kMostAtOnce) return;
    plan_.add(delete_pod(job_, pod));
  }
}

// Surplus pods do not count as failed: their finalizer is removed before they are deleted.
void JobPlanner::delete_pods(const std::vector<Value>& pods) {
  for (const Value& pod : pods) {
    if (plan_.chains.size() >= kMostAtOnce) return;
    std::vector<Action> chain;
    if (is_tracked(pod)) chain.push_back(untrack(pod));
    chain.push_back(delete_pod(job_, pod));
    untracked_by_deletion_.emplace(api::uid_of(pod));
    plan_.add_chain(std::move(chain));
  }
}

void JobPlanner::manage_pods() {
  const std::int64_t active = static_cast<std::int64_t>(active_.size()),
                     parallelism = count_in(spec_["parallelism"], 1);
  if (suspended()) return delete_pods(active_);
  std::int64_t wanted = 0;
  if (spec_["completions"].is_null()) {
    wanted = succeeded_ > 0 ? active : parallelism;
  } else {
    wanted = std::clamp<std::int64_t>(completions() - succeeded_, 0, parallelism);
  }
  const std::vector<Value> rest = surplus(std::max<std::int64_t>(active - wanted, 0));
  if (!rest.empty()) return delete_pods(rest);
  const std::int64_t missing = wanted - active - (replaces_only_failed(job_) ? terminating_ : 0);
  if (missing > 0) create_pods(std::min<std::int64_t>(missing, kMostAtOnce));
}

// At least that many active pods to delete; of an indexed job first those without a valid or unique index.
std::vector<Value> JobPlanner::surplus(std::int64_t at_least) {
  std::vector<Value> rest, left = active_;
  order_for_deletion(left, active_, now_);
  if (indexed_) {
    std::set<std::int64_t> seen;
    std::vector<Value> unique;
    for (auto pod = left.rbegin(); pod != left.rend(); ++pod) {  // the last in deletion order is the one to retain
      const bool keep = valid_index(*pod) && seen.insert(index_of(*pod)).second;
      (keep ? unique : rest).push_back(*pod);
    }
    left.assign(unique.rbegin(), unique.rend());
  }
  for (std::size_t i = 0; i < left.size() && static_cast<std::int64_t>(rest.size()) < at_least; ++i)
    rest.push_back(left[i]);
  return rest;
}

// Back-off after failures; a success resets the count.
bool JobPlanner::is_in_backoff() {
  Time last_success{}, last_failure{};
  for (const Value& pod : pods_) {
    if (pod["status"]["phase"].as_string() == "Succeeded") last_success = std::max(last_success, finished_at(pod));
  }
  std::int64_t failures = 0;
  for (Time failed : view_.removed_failures) {
    if (failed <= last_success) continue;
    ++failures;
    last_failure = std::max(last_failure, failed);
  }
  for (const Value& pod : pods_) {
    const bool let_go = api::is_terminating(pod) && !is_tracked(pod);
    if (let_go || !has_failed(pod, job_) || finished_at(pod) <= last_success) continue;
    ++failures;
    last_failure = std::max(last_failure, finished_at(pod));
  }
  const Duration left = backoff_left(failures, last_failure, now_);
  if (left <= Duration::zero()) return false;
  plan_.requeue_after(left);
  return true;
}

std::vector<std::int64_t> JobPlanner::indexes_to_create(std::int64_t count) {
  std::vector<std::int64_t> busy;
  for (const Value& pod : pods_) {
    const bool ending = api::is_terminating(pod) && !api::is_pod_terminal(pod);
    if (index_of(pod) >= 0 && (is_active(pod) || (ending && replaces_only_failed(job_)))) busy.push_back(index_of(pod));
  }
  const std::vector<std::int64_t> pending =
      completed_.with(failed_indexes_).with(std::move(busy)).missing(count, completions());
  if (!per_index()) return pending;
  std::vector<std::int64_t> now;
  std::optional<Duration> shortest;
  for (std::int64_t index : pending) {
    const auto before = awaiting_.find(index);
    Duration left{};
    if (before != awaiting_.end()) {
      const Value& pod = before->second;
      left = backoff_left(failures_of(pod) + ignored_failures_of(pod) + 1, finished_at(pod), now_);
    }
    if (left <= Duration::zero()) now.push_back(index);
    if (left > Duration::zero() && (!shortest || left < *shortest)) shortest = left;
  }
  if (shortest) plan_.requeue_after(*shortest);
  return now;
}

void JobPlanner::create_pods(std::int64_t count) {
  if (!per_index() && is_in_backoff()) return;
  std::vector<std::string> known;
  for (const Value& pod : view_.pods) {
    used_names_.emplace(api::name_of(pod));
    known.emplace_back(api::uid_of(pod));
  }
  std::sort(known.begin(), known.end());
  name_seed_ = std::string(api::uid_of(job_)) + "/" + join(known, ",") + "/";
  const std::string name(api::name_of(job_));
  if (!indexed_) {
    for (std::int64_t i = 0; i < count; ++i) add_pod(name.substr(0, kPrefixBytes - 1) + "-", pod_of(-1));
    return;
  }
  for (std::int64_t index : indexes_to_create(count)) {
    const std::string end = "-" + std::to_string(index) + "-";
    add_pod(name.substr(0, kPrefixBytes - end.size()) + end, pod_of(index));
  }
}

void JobPlanner::add_pod(const std::string& prefix, Value pod) {
  std::string name;
  do {
    name = prefix + suffix_of(fnv64a(name_seed_ + std::to_string(names_derived_++)));
  } while (!used_names_.insert(name).second);
  pod.mut("metadata").set("name", name).set("generateName", prefix);
  Action action = create(kPods, std::move(pod));
  action.succeeded(job_, kNormal, "SuccessfulCreate", "Created pod: " + name);
  action.failed(job_, kWarning, "FailedCreate", "Error creating: ");
  plan_.add(std::move(action));
}

void add_index_variable(Value& spec) {
  const Value field = Value::object({{"fieldPath", "metadata.labels['" + std::string(kIndex) + "']"}});
  const Value variable =
      Value::object({{"name", "JOB_COMPLETION_INDEX"}, {"valueFrom", Value::object({{"fieldRef", field}})}});
  for (const char* list : {"initContainers", "containers"}) {
    for (std::size_t i = 0; i < spec[list].size(); ++i) {
      const Value& present = spec[list][i]["env"];
      const bool named = std::any_of(present.begin(), present.end(), [](const Value& one) {
        return one["name"].as_string() == "JOB_COMPLETION_INDEX";
      });
      if (!named) spec.mut(list).mut(i).mut("env").push(variable);
    }
  }
}

// A pod from the template; `index`: -1 for none.
Value JobPlanner::pod_of(std::int64_t index) const {
  const Value& from = spec_["template"];
  Value metadata =
      Value::object({{"namespace", api::namespace_of(job_)},
                     {"ownerReferences", Value::array({api::controller_reference(job_, "batch/v1", "Job")})}});
  for (const char* field : {"labels", "annotations", "finalizers"}) {
    if (!from["metadata"][field].empty()) metadata.set(field, from["metadata"][field]);
  }
  const Value& finalizers = metadata["finalizers"];
  const bool tracked =
      std::any_of(finalizers.begin(), finalizers.end(), [](const Value& one) { return one.as_string() == kTracking; });
  if (!tracked) metadata.mut("finalizers").push(kTracking);
  Value spec = from["spec"];
  if (index >= 0) {
    const std::string number = std::to_string(index);
    metadata.mut("labels").set(kIndex, number);
    Value& annotations = metadata.mut("annotations");
    annotations.set(kIndex, number);
    if (per_index()) {
      std::int64_t failures = 0, ignored = 0;
      if (const auto before = awaiting_.find(index); before != awaiting_.end()) {
        const bool counts = match_failure(spec_["podFailurePolicy"], before->second).counts;
        failures = failures_of(before->second) + (counts ? 1 : 0);
        ignored = ignored_failures_of(before->second) + (counts ? 0 : 1);
      }
      annotations.set(kFailures, std::to_string(failures));
      if (ignored > 0) annotations.set(kIgnoredFailures, std::to_string(ignored));
    }
    spec.set("hostname", std::string(api::name_of(job_)) + "-" + number);
    add_index_variable(spec);
  }
  return Value::object({{"apiVersion", "v1"}, {"kind", "Pod"}, {"metadata", metadata}, {"spec", spec}});
}

// --- Status

// Replaces the uids of pods without finalizer by increments of the counts.
void JobPlanner::count_untracked() {
  std::set<std::string_view> tracked;
  for (const Value& pod : pods_) {
    if (is_tracked(pod)) tracked.insert(api::uid_of(pod));
  }
  if (!status_["uncountedTerminatedPods"].is_object()) status_.set("uncountedTerminatedPods", Value::object());
  for (const char* list : {"succeeded", "failed"}) {
    Value left = Value::array();
    for (const Value& uid : job_["status"]["uncountedTerminatedPods"][list]) {
      if (tracked.contains(uid.as_string())) left.push(uid);
    }
    const std::size_t gone = job_["status"]["uncountedTerminatedPods"][list].size() - left.size();
    if (gone == 0) continue;
    status_.set(list, job_["status"][list].as_int() + static_cast<std::int64_t>(gone));
    if (left.empty()) {
      status_.mut("uncountedTerminatedPods").erase(list);
    } else {
      status_.mut("uncountedTerminatedPods").set(list, left);
    }
  }
}

bool JobPlanner::may_untrack(const Value& pod) const {
  if (api::is_terminating(job_) || result_ || pod["status"]["phase"].as_string() == "Succeeded") return true;
  if (!has_failed(pod, job_)) return false;
  const auto kept = awaiting_.find(index_of(pod));
  return !per_index() || kept == awaiting_.end() || api::uid_of(kept->second) != api::uid_of(pod);
}

void JobPlanner::add_uncounted(const char* list, const Value& pod) {
  status_.mut("uncountedTerminatedPods").mut(list).push(api::uid_of(pod));
}

// Adds ended pods to the status; removes the finalizer of those that are in it.
void JobPlanner::update_tracking() {
  std::vector<std::int64_t> newly_completed;
  for (const Value& pod : pods_) {
    if (!is_tracked(pod) || untracked_by_deletion_.contains(api::uid_of(pod)) || !may_untrack(pod)) continue;
    const Value& uncounted = status_["uncountedTerminatedPods"];
    if (newly_completed.size() + uncounted["succeeded"].size() + uncounted["failed"].size() >= kMostUncounted) break;
    // An active pod is deleted before its finalizer is removed; kMostAtOnce delays some of them to later plans.
    const bool ended_now = result_ && is_active(pod);
    auto chain = std::find_if(plan_.chains.begin(), plan_.chains.end(), [&](const std::vector<Action>& one) {
      return ended_now && one[0].verb == Action::Verb::kDelete && one[0].options.uid == api::uid_of(pod);
    });
    if (ended_now && chain == plan_.chains.end()) continue;
    const bool ended_well = pod["status"]["phase"].as_string() == "Succeeded";
    const bool lost = has_failed(pod, job_) || (result_ && !result_->success());
    if (ended_well && !in_uncounted("failed", pod)) {
      if (indexed_) {
        if (valid_index(pod)) newly_completed.push_back(index_of(pod));
      } else if (!in_uncounted("succeeded", pod)) {
        add_uncounted("succeeded", pod);
      }
    } else if (lost && is_newly_ended(pod, "failed") && match_failure(spec_["podFailurePolicy"], pod).counts) {
      add_uncounted("failed", pod);
    }
    ++untracking_;
    if (ended_now) {
      chain->push_back(untrack(pod));
    } else {
      plan_.add(untrack(pod));
    }
  }
  if (!indexed_) return;
  const Indexes completed = completed_before_.with(std::move(newly_completed));
  status_.set("succeeded", completed.size());
  status_.set("completedIndexes", completed.text());
  if (per_index()) status_.set("failedIndexes", failed_indexes_.text());
}

bool JobPlanner::set_condition(std::string_view type, std::string_view status, std::string_view reason,
                               std::string_view message) {
  const std::string at = format_time(now_);
  const Value fresh = Value::object({{"type", type},
                                     {"status", status},
                                     {"reason", reason},
                                     {"message", message},
                                     {"lastProbeTime", at},
                                     {"lastTransitionTime", at}});
  Value& conditions = status_.mut("conditions");
  for (std::size_t i = 0; i < conditions.size(); ++i) {
    const Value& old = conditions[i];
    if (old["type"].as_string() != type) continue;
    if (old["status"].as_string() == status && old["reason"].as_string() == reason &&
        old["message"].as_string() == message)
      return false;
    conditions.mut(i) = fresh;
    return true;
  }
  if (status != "False") conditions.push(fresh);
  return status != "False";
}

void JobPlanner::report_suspension() {
  if (suspended()) {
    if (set_condition("Suspended", "True", "JobSuspended", "Job suspended")) {
      events_.push_back({job_, std::string(kNormal), "Suspended", "Job suspended"});
    }
    // A suspended job's deadline does not run.
    status_.erase("startTime");
  } else if (set_condition("Suspended", "False", "JobResumed", "Job resumed")) {
    events_.push_back({job_, std::string(kNormal), "Resumed", "Job resumed"});
    status_.set("startTime", format_time(now_));
  }
}

// First announces the result; adds Complete or Failed once every pod is gone and counted.
void JobPlanner::report_result() {
  if (!api::condition_is_true(job_, result_->type)) {
    set_condition(result_->type, "True", result_->reason, result_->message);
    return;
  }
  const Value& uncounted = status_["uncountedTerminatedPods"];
  if (untracking_ > 0 || terminating_ > 0 || !active_.empty() ||
      uncounted["succeeded"].size() + uncounted["failed"].size() > 0)
    return;
  set_condition(result_->success() ? "Complete" : "Failed", "True", result_->reason, result_->message);
  if (status_["startTime"].is_null()) status_.set("startTime", format_time(now_));
  if (!result_->success()) {
    events_.push_back({job_, std::string(kWarning), result_->reason, result_->message});
    return;
  }
  status_.set("completionTime", format_time(now_));
  if (spec_["completions"].is_int() && status_["succeeded"].as_int() > completions()) {
    events_.push_back({job_, std::string(kWarning), "TooManySucceededPods",
                       "Too many succeeded pods running after completion count reached"});
  }
  events_.push_back({job_, std::string(kNormal), "Completed", "Job completed"});
}

// The merge patch that turns `before` into `after`.
Value difference(const Value& before, const Value& after) {
  Value change = Value::object();
  for (auto [key, value] : after.entries()) {
    const bool both = value.is_object() && before[key].is_object();
    if (value == before[key]) continue;
    change.set(key, both ? difference(before[key], value) : value);
  }
  for (auto [key, value] : before.entries()) {
    if (!after.contains(key)) change.set(key, Value());
  }
  return change;
}

void JobPlanner::write_status() {
  if (status_["startTime"].is_null() && !suspended()) status_.set("startTime", format_time(now_));
  const auto ready = std::count_if(active_.begin(), active_.end(), api::is_pod_ready);
  status_.set("active", static_cast<std::int64_t>(active_.size()));
  status_.set("ready", static_cast<std::int64_t>(ready));
  status_.set("terminating", terminating_);
  if (pods_managed_) report_suspension();
  if (result_) report_result();
  // Zero counts and empty fields are omitted.
  for (const char* field : {"active", "succeeded", "failed"}) {
    if (status_[field].as_int() == 0) status_.erase(field);
  }
  if (status_["completedIndexes"].as_string().empty()) status_.erase("completedIndexes");
  if (status_["conditions"].empty()) status_.erase("conditions");
  Value change = difference(job_["status"], status_);
  if (change.empty()) return;
  Action write = patch_status(kJobs, job_, Value::object({{"status", std::move(change)}}), true);
  write.on_success = std::move(events_);
  plan_.first.push_back(std::move(write));
}

}  // namespace

Plan plan_job(const JobView& view, Time now) {
  if (view.job.is_null() || is_managed_elsewhere(view.job) || is_finished(view.job)) return {};
  if (const std::string why = why_unusable(view.job); !why.empty() && !api::is_terminating(view.job)) {
    Plan plan;
    plan.event(view.job, kWarning, "Unusable", why);
    return plan;
  }
  return JobPlanner(view, now).run();
}

Plan plan_stray_pod(const Value& pod, const Value& owner) {
  Plan plan;
  if (pod.is_null() || !is_tracked(pod)) return plan;
  const Value& reference = api::controller_of(pod);
  if (!reference.is_null()) {
    const bool of_a_job = reference["kind"].as_string() == "Job" && reference["apiVersion"].as_string() == "batch/v1";
    if (!of_a_job || (!owner.is_null() && (is_managed_elsewhere(owner) || !is_finished(owner)))) return plan;
  }
  plan.add(untrack(pod));
  return plan;
}

Plan plan_expiry(const Value& job, Time now) {
  Plan plan;
  if (job.is_null() || api::is_terminating(job) || !job["spec"]["ttlSecondsAfterFinished"].is_int() ||
      !is_finished(job))
    return plan;
  const Value& condition =
      api::condition_is_true(job, "Complete") ? api::condition_of(job, "Complete") : api::condition_of(job, "Failed");
  const Result<Time> finished = parse_time(condition["lastTransitionTime"].as_string());
  if (!finished.ok()) return plan;
  const Duration left = *finished + seconds_in(job["spec"]["ttlSecondsAfterFinished"]) - now;
  if (left > Duration::zero()) {
    plan.requeue_after(left);
    return plan;
  }
  // Exactly this version: the TTL may have been raised.
  Action action = remove(kJobs, job, -1, "Foreground");
  action.options.resource_version = std::string(api::resource_version_of(job));
  plan.add(std::move(action));
  return plan;
}

}  // namespace berth::controllers::job
