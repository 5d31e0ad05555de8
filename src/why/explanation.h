#pragma once
// A report while it is being told: where lines are added, and the look-ups and words that the steps share.

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "why/why.h"

namespace berth::why {

class Explanation {
 public:
  Explanation(const Question& question, Source& source, Time now) : question_(question), source_(source), now_(now) {}

  Time now() const { return now_; }
  const std::string& ns() const { return question_.name.ns; }
  // What has been asked of the source and is not known yet: what follows from it need not be asked for.
  bool guessing() const { return !source_.complete(); }

  // The reference stays good while lines are added.
  Line& add(int depth, Severity severity, std::string object, std::string state, std::optional<Time> since = {});
  // Whether a line added after this one is waited for.
  bool waiting_below(const Line& line) const;
  // Ends the explanation: who waits for something that is broken is as badly off.
  Report finish();

  Value in_namespace(const api::Resource& resource, std::string_view name) {
    return source_.object(resource, {ns(), std::string(name)});
  }
  Value in_cluster(const api::Resource& resource, std::string_view name, std::string_view ns = {}) {
    return source_.object(resource, {std::string(ns), std::string(name)});
  }
  std::vector<Value> list(const api::Resource& resource, std::string label_selector = {}) {
    return source_.list(resource, {ns(), std::move(label_selector), {}});
  }
  std::vector<Value> list_cluster(const api::Resource& resource) { return source_.list(resource, {}); }
  // Of exactly this object, not of an earlier one of its name.
  std::vector<Value> events_of(const Value& object);

  // "kubectl -n ns <words>"
  std::string kubectl(std::string_view words) const;
  // "3m10s ago", "in 40s"
  std::string ago(Time time) const;

 private:
  const Question& question_;
  Source& source_;
  Time now_;
  Report report_;
};

// --- Steps. Each adds its lines at `depth` and below.

void explain_set(Explanation& explanation, const Value& set, int depth);
void explain_deployment(Explanation& explanation, const Value& deployment, int depth);
void explain_replica_set(Explanation& explanation, const Value& set, int depth);
void explain_daemon_set(Explanation& explanation, const Value& set, int depth);
void explain_job(Explanation& explanation, const Value& job, int depth);
void explain_pod(Explanation& explanation, const Value& pod, int depth);
// A pod without a node: why the scheduler has found none.
void explain_scheduling(Explanation& explanation, const Value& pod, int depth);
void explain_containers(Explanation& explanation, const Value& pod, const std::vector<Value>& events, int depth);
// `obstacle`: how bad it is that the node takes no new pods, or not this one.
Line& explain_node(Explanation& explanation, const std::string& name, const Value& pod, Severity obstacle, int depth);
// `pod`: whose claim it is here (it may be one that is still to be made), null where the claim itself was asked about.
// `ephemeral`: the pod has to own it. Answers whether the claim itself waits for a pod that uses it to be given a node.
bool explain_claim(Explanation& explanation, const std::string& name, const Value& pod, bool ephemeral, int depth);
// Budgets that allow nothing now. Evictions go by all of them; what a set deletes by those that count everything, and
// there it is the set that waits.
enum class Disruption { kEviction, kDeletion };
void explain_budgets(Explanation& explanation, const Value& pod, Disruption disruption, int depth);
void explain_claims_of(Explanation& explanation, const Value& pod, int depth);
void explain_pod_of_name(Explanation& explanation, const Value& set, int ordinal, int depth);

// A claim that was asked about, with a pod that uses it.
void explain_claim_and_user(Explanation& explanation, const Value& claim, int depth);

// --- Words

std::optional<Time> time_in(const Value& text);
std::optional<Time> changed_at(const Value& condition);  // lastTransitionTime
std::optional<Time> created_at(const Value& object);
// The newest event that is accepted, or null.
Value newest(const std::vector<Value>& events, const std::function<bool(const Value& event)>& accept);
std::optional<Time> time_of_event(const Value& event);
bool is_warning(const Value& event);
std::string and_list(const std::vector<std::string>& words);     // "a, b and c"
std::string counted(std::int64_t count, std::string_view noun);  // "1 pod", "2 pods"
// Texts of others: without white space at the ends, not beyond a few lines.
std::string shortened(std::string_view text, std::size_t most = 800);
// What keeps a deleted object: its finalizers as a sentence, or "".
std::string kept_by(const Value& object);
// The first of `pods` that is waited for: not there yet is worse than not ready; null where all are ready.
Value first_waiting(const std::vector<Value>& pods);
bool pod_is_well(const Value& pod);  // ready or succeeded, and not on its way out

}  // namespace berth::why
