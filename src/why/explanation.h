#pragma once
// A report under construction: adds lines, and provides the look-ups and texts that the steps share.

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "why/why.h"

namespace berth::why {

class Explanation {
 public:
  Explanation(const Question& question, ObjectSource& source, Time now)
      : question_(question), source_(source), now_(now) {}

  Time now() const { return now_; }
  const std::string& ns() const { return question_.name.ns; }
  // True if the source has not fetched an object yet: steps that depend on it may be skipped.
  bool incomplete() const { return !source_.complete(); }

  // The reference stays valid while lines are added.
  Line& add(int depth, Severity severity, std::string object, std::string state, std::optional<Time> since = {});
  // True if a line added after this one is waited for.
  bool waiting_below(const Line& line) const;
  // Completes the report: a line is at least as severe as the lines that it waits for.
  WhyReport finish();

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
  // Events of exactly this object, not of an earlier one with its name.
  std::vector<Value> events_of(const Value& object);

  // "kubectl -n ns <words>"
  std::string kubectl(std::string_view words) const;
  // "3m10s ago", "in 40s"
  std::string ago(Time time) const;

 private:
  const Question& question_;
  ObjectSource& source_;
  Time now_;
  WhyReport report_;
};

// --- Steps. Each adds its lines at `depth` and below.

void explain_set(Explanation& explanation, const Value& set, int depth);
void explain_deployment(Explanation& explanation, const Value& deployment, int depth);
void explain_replica_set(Explanation& explanation, const Value& set, int depth);
void explain_daemon_set(Explanation& explanation, const Value& set, int depth);
void explain_job(Explanation& explanation, const Value& job, int depth);
void explain_pod(Explanation& explanation, const Value& pod, int depth);
// Why the scheduler has found no node for a pod.
void explain_scheduling(Explanation& explanation, const Value& pod, int depth);
void explain_containers(Explanation& explanation, const Value& pod, const std::vector<Value>& events, int depth);
// `obstacle`: the severity if the node takes no new pods, or not this one.
Line& explain_node(Explanation& explanation, const std::string& name, const Value& pod, Severity obstacle, int depth);
// `pod`: the pod that uses the claim (it may not exist yet); null if the question was about the claim. `ephemeral`: the
// pod must own the claim. Returns true if the claim waits for a pod with a node.
bool explain_claim(Explanation& explanation, const std::string& name, const Value& pod, bool ephemeral, int depth);
// PodDisruptionBudgets that allow no disruption now. An eviction is subject to all of them; a deletion by a set to
// those that count everything, and then the set waits.
enum class Disruption { kEviction, kDeletion };
void explain_budgets(Explanation& explanation, const Value& pod, Disruption disruption, int depth);
void explain_claims_of(Explanation& explanation, const Value& pod, int depth);
void explain_set_replica(Explanation& explanation, const Value& set, int ordinal, int depth);

// A claim that the question is about, and the pods that use it.
void explain_claim_and_user(Explanation& explanation, const Value& claim, int depth);

// --- Texts

std::optional<Time> time_in(const Value& text);
std::optional<Time> changed_at(const Value& condition);  // lastTransitionTime
std::optional<Time> created_at(const Value& object);
// The newest event that `accept` accepts, or null.
Value newest(const std::vector<Value>& events, const std::function<bool(const Value& event)>& accept);
std::optional<Time> time_of_event(const Value& event);
bool is_warning(const Value& event);
std::string and_list(const std::vector<std::string>& words);     // "a, b and c"
std::string counted(std::int64_t count, std::string_view noun);  // "1 pod", "2 pods"
// An external text: trimmed, cut after `most` bytes.
std::string shortened(std::string_view text, std::size_t most = 800);
// A sentence about the finalizers of a deleted object, or "".
std::string finalizer_text(const Value& object);
// The first of `pods` that is not well, the oldest of them; null if all are well.
Value first_waiting(const std::vector<Value>& pods);
bool is_pod_well(const Value& pod);  // ready or succeeded, and not being deleted

}  // namespace berth::why
