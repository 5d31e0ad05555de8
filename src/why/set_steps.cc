// Steps for a StatefulSet: its progress, and the first replica that it waits for.
#include <algorithm>
#include <map>

#include "api/selector.h"
#include "api/set_options.h"
#include "base/text.h"
#include "controllers/shared/set_identity.h"
#include "why/explanation.h"

namespace berth::why {
namespace {

using namespace api::resources;  // NOLINT
using controllers::PodState;
using controllers::SetSpec;

struct SetMember {
  int ordinal = 0;
  std::string name;
  Value pod;  // null: the pod does not exist
  PodState state;
  bool expected = true;  // false: beyond spec.replicas, to be deleted
};

class SetExplanation {
 public:
  SetExplanation(Explanation& explanation, const Value& set)
      : explanation_(explanation), set_(set), spec_(controllers::parse_set_spec(set)) {
    update_ = set["status"]["updateRevision"].str();
    for (Value& pod : pods_of_set()) pods_[std::string(api::name_of(pod))] = std::move(pod);
    for (int ordinal : spec_.ordinals()) members_.push_back(member(ordinal, true));
    for (const auto& [name, pod] : pods_) {
      const int ordinal = controllers::parse_member_name(name).ordinal;
      if (ordinal >= 0 && !spec_.in_range(ordinal)) leaving_.push_back(member(ordinal, false));
    }
    std::sort(leaving_.begin(), leaving_.end(),
              [](const SetMember& a, const SetMember& b) { return a.ordinal > b.ordinal; });
  }

  void explain(int depth) {
    explain_head(depth);
    if (explanation_.incomplete()) return;
    rollout(depth + 1);
    claim_templates(depth + 1);
    const std::vector<const SetMember*> waited = waited_for();
    for (const SetMember* member : waited) explain_member(*member, depth + 1);
    if (waited.empty()) return explain_well_members(depth + 1);
    explain_waiting_members(*waited.front(), depth + 1);
  }

  // One replica, also if it has no pod.
  void explain_replica(int ordinal, int depth) {
    if (explanation_.incomplete()) return;
    const SetMember asked = member(ordinal, spec_.in_range(ordinal));
    if (!asked.expected && asked.pod.is_null()) {
      Line& line = explanation_.add(depth, Severity::kWaiting, "pod/" + asked.name, "does not exist");
      line.why =
          "statefulset/" + spec_.name + " has no such member: it is to have " + counted(spec_.replicas, "replica");
      if (spec_.options.skips(ordinal)) {
        line.why = "statefulset/" + spec_.name + " leaves this ordinal out (" + std::string(api::kSkipOrdinals) + ")";
        return;
      }
      line.hint = explanation_.kubectl("scale sts/" + spec_.name +
                                       " --replicas=" + std::to_string(spec_.index_of(ordinal) + 1));
      return;
    }
    if (!asked.pod.is_null()) return explain_pod(explanation_, asked.pod, depth);
    const std::vector<const SetMember*> waited = waited_for();
    const bool behind = !waited.empty() && waited.front()->ordinal != ordinal;
    if (!behind) return missing(asked, depth);
    Line& line = explanation_.add(depth, Severity::kWaiting, "pod/" + asked.name, "does not exist yet");
    line.why =
        "statefulset/" + spec_.name + " makes its members in order, and this one comes after " + waited.front()->name;
    explain_member(*waited.front(), depth + 1);
  }

 private:
  std::vector<Value> pods_of_set() {
    const auto selector = api::LabelSelector::of_object(set_["spec"]["selector"]);
    if (!selector.ok()) return {};
    std::vector<Value> pods = explanation_.list(kPods, selector->to_string());
    std::erase_if(pods, [&](const Value& pod) { return !api::is_controlled_by(pod, api::uid_of(set_)); });
    return pods;
  }

  SetMember member(int ordinal, bool expected) const {
    SetMember out;
    out.ordinal = ordinal;
    out.expected = expected;
    out.name = controllers::pod_name(spec_, ordinal);
    if (auto found = pods_.find(out.name); found != pods_.end()) out.pod = found->second;
    out.state = controllers::state_of(out.pod, spec_.min_ready_seconds, explanation_.now());
    return out;
  }

  bool outdated(const SetMember& one) const {
    return !one.pod.is_null() && !update_.empty() && one.state.revision != update_;
  }
  // True if the update strategy retains the replica's revision.
  bool keeps_revision(const SetMember& one) const { return spec_.on_delete || one.ordinal < spec_.first_updated(); }

  // True for reasons of the condition Progressing of a set that waits for nothing.
  static bool is_idle_reason(std::string_view reason) {
    return reason == "Complete" || reason == "OnDelete" || reason == "Partition";
  }

  void explain_head(int depth) {
    const auto ready =
        std::count_if(members_.begin(), members_.end(), [](const SetMember& one) { return one.state.healthy(); });
    Line& line = explanation_.add(depth, Severity::kGood, "statefulset/" + spec_.name,
                                  std::to_string(ready) + " of " + std::to_string(spec_.replicas) + " ready");
    const std::int64_t generation = set_["metadata"]["generation"].as_int(),
                       seen = set_["status"]["observedGeneration"].as_int();
    const Value& progressing = api::condition_of(set_, "Progressing");
    if (spec_.terminating) {
      line.severity = Severity::kWaiting;
      line.state += ", being deleted";
      line.since = time_in(set_["metadata"]["deletionTimestamp"]);
      line.why = finalizer_text(set_);
      return;
    }
    if (seen < generation) {
      line.severity = Severity::kWaiting;
      line.why = "the last change of the set (generation " + std::to_string(generation) +
                 ") has not been taken up by its controller";
      line.hint = "berth status";
      return;
    }
    if (!progressing.is_null()) {
      line.since = changed_at(progressing);
      line.why = shortened(progressing["message"].as_string());
      if (!is_idle_reason(progressing["reason"].as_string())) line.severity = Severity::kWaiting;
      if (progressing["status"].as_string() == "False") line.severity = Severity::kBroken;
    }
  }

  void rollout(int depth) {
    std::vector<std::string> kept, due;
    for (const SetMember& one : members_) {
      if (outdated(one)) (keeps_revision(one) ? kept : due).push_back(one.name);
    }
    if (kept.empty() && due.empty()) return;
    const auto updated = std::count_if(members_.begin(), members_.end(),
                                       [&](const SetMember& one) { return one.state.revision == update_; });
    // A note even if replicas must be replaced: the set waits for those, not for this line.
    Line& line = explanation_.add(depth, Severity::kNote, "revision " + update_,
                                  std::to_string(updated) + " of " + std::to_string(members_.size()) + " updated");
    if (!due.empty()) {
      line.why = and_list(due) + (due.size() == 1 ? " is" : " are") + " to be replaced" +
                 (due.size() == 1 || spec_.options.recreate ? "" : ", from the last one down");
    } else if (spec_.on_delete) {
      line.why = and_list(kept) + (kept.size() == 1 ? " stays" : " stay") +
                 " at an older revision until deleted: the update strategy is OnDelete";
      line.hint = explanation_.kubectl("delete pod " + kept.back());
    } else {
      line.why =
          "the partition " + std::to_string(spec_.partition) + " keeps " + and_list(kept) + " at an older revision";
      line.hint = explanation_.kubectl("patch sts " + spec_.name +
                                       R"( -p '{"spec":{"updateStrategy":{"rollingUpdate":{"partition":0}}}}')");
    }
  }

  // In the order in which the controller proceeds: replicas by ordinal, then those to delete, then those to update. A
  // parallel set waits for several at once.
  std::vector<const SetMember*> waited_for() const {
    std::vector<const SetMember*> out;
    if (spec_.terminating) {
      // Surplus replicas usually have the highest ordinals; both lists are sorted.
      for (const SetMember& one : leaving_) out.push_back(&one);
      for (auto one = members_.rbegin(); one != members_.rend(); ++one) {
        if (!one->pod.is_null()) out.push_back(&*one);
      }
      out.resize(std::min<std::size_t>(out.size(), 1));
      return out;
    }
    for (const SetMember& one : members_) {
      if (one.pod.is_null() || !one.state.available || one.state.terminating) out.push_back(&one);
    }
    if (out.empty() && !leaving_.empty()) out.push_back(&leaving_.front());
    for (auto one = members_.rbegin(); one != members_.rend() && out.empty(); ++one) {
      if (outdated(*one) && !keeps_revision(*one)) out.push_back(&*one);
    }
    const std::size_t most = spec_.parallel ? kMostMembers : 1;
    if (out.size() > most) out.resize(most);
    return out;
  }

  void explain_member(const SetMember& one, int depth) {
    if (one.pod.is_null()) return missing(one, depth);
    if ((!one.expected || spec_.terminating) && !one.state.terminating) {
      Line& line = explanation_.add(depth, Severity::kWaiting, "pod/" + one.name, "is to go");
      line.why = spec_.terminating
                     ? "it goes with its set"
                     : "the set is to have " + counted(spec_.replicas, "replica") + "; this one is deleted next";
      if (one.state.ready) explain_budgets(explanation_, one.pod, Disruption::kDeletion, depth + 1);
      return;
    }
    if (one.state.available && !one.state.terminating) {
      Line& line = explanation_.add(depth, Severity::kWaiting, "pod/" + one.name, "is to be replaced");
      line.why = "it is of revision " + std::string(one.state.revision) + "; it is deleted next and made anew";
      explain_budgets(explanation_, one.pod, Disruption::kDeletion, depth + 1);
      return;
    }
    if (one.state.ready && !one.state.terminating) {
      Line& line = explanation_.add(depth, Severity::kWaiting, "pod/" + one.name, "Ready",
                                    changed_at(api::condition_of(one.pod, "Ready")));
      line.why = "it has to stay ready for " + std::to_string(spec_.min_ready_seconds) + "s (minReadySeconds); " +
                 human_duration(one.state.available_in) + " are left";
      return;
    }
    explain_pod(explanation_, one.pod, depth);
    if (outdated(one) && !one.state.terminating && !one.state.ended && !keeps_revision(one)) {
      Line& line = explanation_.add(depth + 1, Severity::kNote, "revision " + std::string(one.state.revision),
                                    "older than the set's");
      line.why = "its template is no longer asked for; the set replaces it as it is";
    }
  }

  void claim_templates(int depth) {
    const Value& condition = api::condition_of(set_, "berth.dev/ClaimTemplates");
    if (condition["status"].as_string() != "False") return;
    const std::string reason = condition["reason"].str();
    Line& line = explanation_.add(depth, reason == "CannotExpand" ? Severity::kBroken : Severity::kWaiting,
                                  "claim templates", reason, changed_at(condition));
    line.why = shortened(condition["message"].as_string());
  }

  // One line per replica. A pod whose container ended recently is ready only between restarts: adds a note.
  void explain_well_members(int depth) {
    for (std::size_t i = 0; i < members_.size(); ++i) {
      if (i == kMostWell && members_.size() > kMostWell + 1) {
        explanation_.add(depth, Severity::kGood, counted(static_cast<std::int64_t>(members_.size() - i), "more pod"),
                         "Ready");
        return;
      }
      const Value& pod = members_[i].pod;
      Line& line =
          explanation_.add(depth, Severity::kGood, "pod/" + members_[i].name,
                           "Ready on " + pod["spec"]["nodeName"].str(), changed_at(api::condition_of(pod, "Ready")));
      for (const Value& status : pod["status"]["containerStatuses"]) {
        const auto ended = time_in(status["lastState"]["terminated"]["finishedAt"]);
        if (!ended || explanation_.now() - *ended > kRecent) continue;
        line.severity = Severity::kNote;
        line.why = "container " + status["name"].str() + " ended " + explanation_.ago(*ended) +
                   " and was started again, " + counted(status["restartCount"].as_int(), "time") + " in all";
        line.hint = explanation_.kubectl("logs " + members_[i].name + " -c " + status["name"].str() + " --previous");
      }
    }
  }

  void missing(const SetMember& one, int depth) {
    Line& line = explanation_.add(depth, Severity::kWaiting, "pod/" + one.name, "does not exist yet");
    const Value event = newest(explanation_.events_of(set_), [&](const Value& event) {
      const std::string message = event["message"].str() + " ";
      return is_warning(event) && message.find(" " + one.name + " ") != std::string::npos;
    });
    if (event.is_null()) {
      line.why = "its set is about to make it";
    } else {
      line.severity = Severity::kBroken;
      line.since = time_of_event(event);
      line.why = shortened(event["message"].as_string());
    }
    const Value to_be = Value::object({{"metadata", Value::object({{"name", one.name}, {"namespace", spec_.ns}})}});
    for (const Value& one_template : set_["spec"]["volumeClaimTemplates"]) {
      const std::string claim = controllers::claim_name(spec_, api::name_of(one_template), one.ordinal);
      // Missing claims are created together with the pod.
      if (!explanation_.in_namespace(kPersistentVolumeClaims, claim).is_null())
        explain_claim(explanation_, claim, to_be, false, depth + 1);
    }
  }

  // The replicas that wait for the one that the set waits for.
  void explain_waiting_members(const SetMember& first, int depth) {
    if (spec_.parallel || !first.expected || spec_.terminating) return;
    std::vector<std::string> after;
    for (const SetMember& one : members_) {
      if (one.ordinal > first.ordinal && one.pod.is_null()) after.push_back(one.name);
    }
    if (after.empty()) return;
    const std::string names = after.size() <= 3 ? and_list(after) : after.front() + " to " + after.back();
    Line& line = explanation_.add(depth, Severity::kNote, names, "not made yet");
    line.why = "the set goes in order: " + first.name + " has to be " +
               (spec_.min_ready_seconds > 0 ? "available" : "ready") + " first";
  }

  static constexpr std::size_t kMostMembers = 3, kMostWell = 5;
  static constexpr Duration kRecent = 10min;
  Explanation& explanation_;
  const Value& set_;
  SetSpec spec_;
  std::string update_;
  std::map<std::string, Value> pods_;
  std::vector<SetMember> members_;  // in range, by ordinal
  std::vector<SetMember> leaving_;  // from the last one down
};

}  // namespace

void explain_set(Explanation& explanation, const Value& set, int depth) {
  SetExplanation(explanation, set).explain(depth);
}

void explain_set_replica(Explanation& explanation, const Value& set, int ordinal, int depth) {
  SetExplanation(explanation, set).explain_replica(ordinal, depth);
}

}  // namespace berth::why
