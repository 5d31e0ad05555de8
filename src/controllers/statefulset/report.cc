// The set's status, and the condition that explains what the set waits for.
#include <algorithm>

#include "base/text.h"
#include "base/time/time.h"
#include "controllers/shared/blocked_reason.h"
#include "controllers/statefulset/planner.h"

namespace berth::controllers::statefulset {

using api::resources::kControllerRevisions;
using api::resources::kStatefulSets;

namespace {

constexpr std::string_view kProgressing = "Progressing";
// The ordinals that have been ready, as ranges: they may start together after an outage.
constexpr std::string_view kInitialised = "berth.dev/MembersInitialised";
// Progress of changed claim templates.
constexpr std::string_view kClaimTemplates = "berth.dev/ClaimTemplates";
// A start within this time is not explained: that would cost a status write.
constexpr Duration kSlow = 10s;

}  // namespace

std::string SetPlanner::describe(const Replica& replica) const {
  std::string out = pod_name(spec_, replica.ordinal);
  if (!replica.state.revision.empty()) out += " (revision " + std::string(replica.state.revision) + ")";
  return out;
}

// Keeps the first reason of a plan.
void SetPlanner::wait(std::string_view reason, std::string message, bool stuck) {
  if (wait_.reason.empty()) wait_ = {std::string(reason), std::move(message), stuck};
}

// Explains the wait for a terminating pod, or for one that this plan deletes. It counts as stuck only after its
// deadline.
void SetPlanner::wait_for_end(const Replica& replica) {
  const Value& asked = replica.pod["metadata"]["deletionTimestamp"];
  const auto deadline = parse_time(asked.as_string());
  if (deadline.ok() && *deadline + kSlow <= now_) {
    std::string text = "waiting for " + describe(replica) + ", which was to end by " + asked.str();
    const Value& finalizers = replica.pod["metadata"]["finalizers"];
    text += finalizers.empty()
                ? "; its node does not say that it has: see kubectl get node " + replica.pod["spec"]["nodeName"].str()
                : "; its finalizers " + json::encode(finalizers) + " keep it";
    return wait("Terminating", std::move(text), true);
  }
  if (deadline.ok()) plan_.requeue_after(*deadline + kSlow - now_);
  if (spec_.terminating)
    return wait("TearingDown", "ending " + describe(replica) + ", the last member left; the others follow one by one");
  if (!spec_.in_range(replica.ordinal))
    return wait("ScalingDown", "removing " + describe(replica) + ", which the set no longer wants");
  if (replica.outdated) return wait("Updating", "replacing " + describe(replica) + " by revision " + update_name_);
  wait("Terminating", "waiting for " + describe(replica) + " to end; it was deleted, and comes back");
}

// Explains why an existing pod is not available.
void SetPlanner::wait_for(const Replica& replica) {
  if (!wait_.reason.empty()) return;
  const Value& pod = replica.pod;
  const std::string name(api::name_of(pod));
  if (replica.state.terminating) return wait_for_end(replica);
  if (replica.state.ended) {
    std::string text =
        describe(replica) + " ended (" + pod["status"]["reason"].str(pod["status"]["phase"].as_string()) + ")";
    const StatefulSetView::Failures failures =
        view_.failures ? view_.failures(replica.ordinal) : StatefulSetView::Failures{};
    const Duration pause = back_off(failures.count);
    if (failures.last + pause <= now_) return wait("Replacing", text + " and is replaced");
    text += " " + std::to_string(failures.count) + " times of late and is replaced at " +
            format_time(failures.last + pause) + "; kubectl delete pod " + name + " does it now";
    return wait("BackOff", std::move(text), true);
  }
  std::string text = "waiting for " + describe(replica);
  if (replica.state.ready) {
    return wait("MinReadySeconds",
                text + ", which is ready, to stay so until " + format_time(now_ + replica.state.available_in + 999ms));
  }
  text += " to become ready";
  if (const BlockedReason blocked = blocked_reason_of(pod)) {
    if (!blocked.since.empty()) text += " since " + blocked.since;
    return wait(blocked.reason, text + ": " + blocked.text + "; see " + blocked.hint, true);
  }
  const Time slow_at = replica.state.unready_since + kSlow;
  if (slow_at > now_) {
    plan_.requeue_after(slow_at - now_);
    return wait("Starting", std::move(text));
  }
  text += " since " + format_time(replica.state.unready_since) + ": ";
  text += replica.state.pending ? "its volumes, images or init containers are not done"
                                : "its containers run, but it does not say that it is ready";
  wait("NotReady", text + "; see kubectl describe pod " + name);
}

// The replicas in range that have been ready since their last scale-up, in order.
std::vector<int> SetPlanner::initialised() const {
  std::vector<int> out;
  if (spec_.parallel) return out;
  const Value& record = api::condition_of(set_, kInitialised);
  const auto stored = api::parse_ordinals(record["message"].as_string());
  // No condition yet, but all replicas were ready at the last status write: all of them have been ready.
  const Value& status = set_["status"];
  const bool was_complete = record.is_null() && spec_.replicas > 0 &&
                            status["readyReplicas"].as_int() == spec_.replicas &&
                            status["replicas"].as_int() == spec_.replicas;
  for (const Replica& replica : replicas_) {
    const bool before =
        was_complete ||
        (stored.ok() && std::any_of(stored->begin(), stored->end(),
                                    [&](const api::OrdinalRange& range) { return range.contains(replica.ordinal); }));
    if (before || replica.state.ready) out.push_back(replica.ordinal);
  }
  return out;
}

// --- Numbers

void SetPlanner::count(const Replica& replica) {
  ++observed_.replicas;
  observed_.ready += replica.state.ready ? 1 : 0;
  observed_.available += replica.state.available ? 1 : 0;
  if (replica.state.terminating) return;
  observed_.current += replica.state.revision == current_name_ ? 1 : 0;
  observed_.updated += replica.outdated ? 0 : 1;
}

void SetPlanner::count_created(std::string_view revision) {
  ++expected_.replicas;
  expected_.current += revision == current_name_ ? 1 : 0;
  expected_.updated += revision == update_name_ ? 1 : 0;
}

void SetPlanner::uncount_deleted(const Replica& replica) {
  expected_.current -= replica.state.revision == current_name_ ? 1 : 0;
  expected_.updated -= replica.outdated ? 0 : 1;
}

Value SetPlanner::status_of(const Counts& counts) const {
  Value status = set_["status"].is_object() ? set_["status"] : Value::object();
  auto put = [&](std::string_view field, int value) {
    if (value != 0) {
      status.set(field, value);
    } else {
      status.erase(field);
    }
  };
  int current = counts.current;
  std::string_view current_name = current_name_;
  if (!spec_.on_delete && counts.updated == spec_.replicas && counts.ready == spec_.replicas &&
      counts.replicas == spec_.replicas) {
    current = counts.updated;
    current_name = update_name_;
  }
  // observedGeneration must not decrease if this view is older than another client's write.
  const auto generation = std::max(set_["metadata"]["generation"].as_int(), status["observedGeneration"].as_int());
  if (generation != 0) status.set("observedGeneration", generation);
  status.set("replicas", counts.replicas).set("availableReplicas", counts.available);
  put("readyReplicas", counts.ready);
  put("currentReplicas", current);
  put("updatedReplicas", counts.updated);
  status.set("currentRevision", current_name).set("updateRevision", update_name_);
  status.set("collisionCount", revisions_.collision_count);
  return status;
}

// --- Conditions

// A condition is added only when it has something to report: an upgrade of Berth must not rewrite the status of sets
// that wait for nothing.
void SetPlanner::add_conditions(Value& status, bool refused) const {
  Value conditions = status["conditions"];
  auto has = [&](std::string_view type) { return !api::condition_of(set_, type).is_null(); };
  auto put = [&](std::string_view type, std::string_view value, std::string_view reason, std::string_view message) {
    api::set_condition(conditions, type, value, reason, message, now_);
  };
  if (refused) {
    put(kProgressing, "False", "Refused",
        "the API server refused a write" + (wait_.message.empty() ? "" : " while " + wait_.message) + "; kubectl -n " +
            std::string(api::namespace_of(set_)) +
            " get events names the cause, unless the store's disk is full: then df does, and making room on it helps");
  } else if (!wait_.reason.empty()) {
    put(kProgressing, wait_.stuck ? "False" : "True", wait_.reason, wait_.message);
  } else if (has(kProgressing)) {
    int old = 0;
    for (const Replica& replica : replicas_) old += replica.outdated ? 1 : 0;
    const int updated = spec_.replicas - old;
    std::string text = std::to_string(updated) + (updated == 1 ? " member is" : " members are") +
                       " available at revision " + update_name_;
    if (old > 0) {
      text += "; " + std::to_string(old) + (old == 1 ? " stays as it is " : " stay as they are ") +
              (spec_.on_delete ? std::string(old == 1 ? "until you delete it" : "until you delete them") + " (OnDelete)"
                               : "below ordinal " + std::to_string(spec_.first_updated()) + " (partition)");
    }
    put(kProgressing, "True", old == 0 ? "Complete" : spec_.on_delete ? "OnDelete" : "Partition", text);
  }
  if (!spec_.parallel &&
      (has(kInitialised) || (status != set_["status"] && !initialised_.empty() && spec_.replicas > 1))) {
    put(kInitialised, initialised_.empty() ? "False" : "True", "HaveBeenReady", api::format_ordinals(initialised_));
  }
  if (!claims_progress_.empty()) {
    put(kClaimTemplates, "False", claims_problem_.empty() ? "Updating" : "CannotExpand",
        claims_problem_.empty() ? claims_progress_ : claims_problem_);
  } else if (has(kClaimTemplates)) {
    put(kClaimTemplates, "True", "Updated", "all claims are as their templates say");
  }
  if (!conditions.is_null()) status.set("conditions", std::move(conditions));
}

void SetPlanner::finish() {
  auto write_status = [&](const Counts& counts, bool refused, std::vector<Action>& actions) {
    Value status = status_of(counts);
    add_conditions(status, refused);
    if (status == set_["status"]) return;
    Value object = set_;
    object.set("status", std::move(status));
    actions.push_back(update_status(kStatefulSets, std::move(object)));
  };
  write_status(expected_, false, plan_.then);
  write_status(observed_, true, plan_.otherwise);
  const Value& before = api::condition_of(set_, kProgressing);
  if (wait_.reason == "BackOff" && before["message"].as_string() != wait_.message)
    plan_.event(set_, kWarning, "BackOff", wait_.message);
  if (spec_.terminating) return;

  std::vector<std::string> live = {current_name_, update_name_, set_["status"]["currentRevision"].str(),
                                   set_["status"]["updateRevision"].str()};
  if (view_.revisions.size() <= static_cast<std::size_t>(std::max(0, spec_.history_limit))) return;
  for (const auto* list : {&replicas_, &surplus_}) {
    for (const Replica& replica : *list) {
      if (std::find(live.begin(), live.end(), replica.state.revision) == live.end())
        live.emplace_back(replica.state.revision);
    }
  }
  for (const Value& revision : surplus_revisions(view_.revisions, live, spec_.history_limit)) {
    plan_.then.push_back(remove(kControllerRevisions, revision));
  }
}

}  // namespace berth::controllers::statefulset
