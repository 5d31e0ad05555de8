// A StatefulSet: how far it is, and the first member that it waits for.
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
using controllers::Shape;

struct Member {
  int ordinal = 0;
  std::string name;
  Value pod;  // null: not there
  PodState state;
  bool wanted = true;  // false: beyond the replicas, on its way out
};

class SetExplanation {
 public:
  SetExplanation(Explanation& explanation, const Value& set)
      : explanation_(explanation), set_(set), shape_(controllers::shape_of(set)) {
    update_ = set["status"]["updateRevision"].str();
    for (Value& pod : pods_of_set()) pods_[std::string(api::name_of(pod))] = std::move(pod);
    for (int ordinal : shape_.ordinals()) members_.push_back(member(ordinal, true));
    for (const auto& [name, pod] : pods_) {
      const int ordinal = controllers::parse_member(name).ordinal;
      if (ordinal >= 0 && !shape_.in_range(ordinal)) leaving_.push_back(member(ordinal, false));
    }
    std::sort(leaving_.begin(), leaving_.end(), [](const Member& a, const Member& b) { return a.ordinal > b.ordinal; });
  }

  void tell(int depth) {
    head(depth);
    if (explanation_.guessing()) return;
    rollout(depth + 1);
    claim_templates(depth + 1);
    const std::vector<const Member*> waited = waited_for();
    for (const Member* member : waited) tell_member(*member, depth + 1);
    if (waited.empty()) return all_well(depth + 1);
    rest(*waited.front(), depth + 1);
  }

  // One place, also where it has no pod.
  void tell_place(int ordinal, int depth) {
    if (explanation_.guessing()) return;
    const Member asked = member(ordinal, shape_.in_range(ordinal));
    if (!asked.wanted && asked.pod.is_null()) {
      Line& line = explanation_.add(depth, Severity::kWaiting, "pod/" + asked.name, "does not exist");
      line.why =
          "statefulset/" + shape_.name + " has no such member: it is to have " + counted(shape_.replicas, "replica");
      if (shape_.options.skips(ordinal)) {
        line.why = "statefulset/" + shape_.name + " leaves this ordinal out (" + std::string(api::kSkipOrdinals) + ")";
        return;
      }
      line.hint = explanation_.kubectl("scale sts/" + shape_.name +
                                       " --replicas=" + std::to_string(shape_.index_of(ordinal) + 1));
      return;
    }
    if (!asked.pod.is_null()) return explain_pod(explanation_, asked.pod, depth);
    const std::vector<const Member*> waited = waited_for();
    const bool behind = !waited.empty() && waited.front()->ordinal != ordinal;
    if (!behind) return missing(asked, depth);
    Line& line = explanation_.add(depth, Severity::kWaiting, "pod/" + asked.name, "does not exist yet");
    line.why =
        "statefulset/" + shape_.name + " makes its members in order, and this one comes after " + waited.front()->name;
    tell_member(*waited.front(), depth + 1);
  }

 private:
  std::vector<Value> pods_of_set() {
    const auto selector = api::LabelSelector::of_object(set_["spec"]["selector"]);
    if (!selector.ok()) return {};
    std::vector<Value> pods = explanation_.list(kPods, selector->to_string());
    std::erase_if(pods, [&](const Value& pod) { return !api::is_controlled_by(pod, api::uid_of(set_)); });
    return pods;
  }

  Member member(int ordinal, bool wanted) const {
    Member out;
    out.ordinal = ordinal;
    out.wanted = wanted;
    out.name = controllers::pod_name(shape_, ordinal);
    if (auto found = pods_.find(out.name); found != pods_.end()) out.pod = found->second;
    out.state = controllers::state_of(out.pod, shape_.min_ready_seconds, explanation_.now());
    return out;
  }

  bool outdated(const Member& one) const {
    return !one.pod.is_null() && !update_.empty() && one.state.revision != update_;
  }
  // Told to keep the revision they have.
  bool held_back(const Member& one) const { return shape_.on_delete || one.ordinal < shape_.first_updated(); }

  // What the condition Progressing says of a set that has nothing to do.
  static bool at_rest(std::string_view reason) {
    return reason == "Complete" || reason == "OnDelete" || reason == "Partition";
  }

  void head(int depth) {
    const auto ready =
        std::count_if(members_.begin(), members_.end(), [](const Member& one) { return one.state.healthy(); });
    Line& line = explanation_.add(depth, Severity::kGood, "statefulset/" + shape_.name,
                                  std::to_string(ready) + " of " + std::to_string(shape_.replicas) + " ready");
    const std::int64_t generation = set_["metadata"]["generation"].as_int(),
                       seen = set_["status"]["observedGeneration"].as_int();
    const Value& progressing = api::condition_of(set_, "Progressing");
    if (shape_.terminating) {
      line.severity = Severity::kWaiting;
      line.state += ", being deleted";
      line.since = time_in(set_["metadata"]["deletionTimestamp"]);
      line.why = kept_by(set_);
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
      if (!at_rest(progressing["reason"].as_string())) line.severity = Severity::kWaiting;
      if (progressing["status"].as_string() == "False") line.severity = Severity::kBroken;
    }
  }

  void rollout(int depth) {
    std::vector<std::string> kept, due;
    for (const Member& one : members_) {
      if (outdated(one)) (held_back(one) ? kept : due).push_back(one.name);
    }
    if (kept.empty() && due.empty()) return;
    const auto updated = std::count_if(members_.begin(), members_.end(),
                                       [&](const Member& one) { return one.state.revision == update_; });
    // A note also where members are due: they are what is waited for.
    Line& line = explanation_.add(depth, Severity::kNote, "revision " + update_,
                                  std::to_string(updated) + " of " + std::to_string(members_.size()) + " updated");
    if (!due.empty()) {
      line.why = and_list(due) + (due.size() == 1 ? " is" : " are") + " to be replaced" +
                 (due.size() == 1 || shape_.options.recreate ? "" : ", from the last one down");
    } else if (shape_.on_delete) {
      line.why = and_list(kept) + (kept.size() == 1 ? " stays" : " stay") +
                 " at an older revision until deleted: the update strategy is OnDelete";
      line.hint = explanation_.kubectl("delete pod " + kept.back());
    } else {
      line.why =
          "the partition " + std::to_string(shape_.partition) + " keeps " + and_list(kept) + " at an older revision";
      line.hint = explanation_.kubectl("patch sts " + shape_.name +
                                       R"( -p '{"spec":{"updateStrategy":{"rollingUpdate":{"partition":0}}}}')");
    }
  }

  // In the order in which the controller goes: members in ordinal order, then those that are to go, then the update.
  // A parallel set waits for several at once.
  std::vector<const Member*> waited_for() const {
    std::vector<const Member*> out;
    if (shape_.terminating) {
      // Those beyond the replicas have the highest ordinals; among each other both are in order.
      for (const Member& one : leaving_) out.push_back(&one);
      for (auto one = members_.rbegin(); one != members_.rend(); ++one) {
        if (!one->pod.is_null()) out.push_back(&*one);
      }
      out.resize(std::min<std::size_t>(out.size(), 1));
      return out;
    }
    for (const Member& one : members_) {
      if (one.pod.is_null() || !one.state.available || one.state.terminating) out.push_back(&one);
    }
    if (out.empty() && !leaving_.empty()) out.push_back(&leaving_.front());
    for (auto one = members_.rbegin(); one != members_.rend() && out.empty(); ++one) {
      if (outdated(*one) && !held_back(*one)) out.push_back(&*one);
    }
    const std::size_t most = shape_.parallel ? kMostMembers : 1;
    if (out.size() > most) out.resize(most);
    return out;
  }

  void tell_member(const Member& one, int depth) {
    if (one.pod.is_null()) return missing(one, depth);
    if ((!one.wanted || shape_.terminating) && !one.state.terminating) {
      Line& line = explanation_.add(depth, Severity::kWaiting, "pod/" + one.name, "is to go");
      line.why = shape_.terminating
                     ? "it goes with its set"
                     : "the set is to have " + counted(shape_.replicas, "replica") + "; this one is deleted next";
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
      line.why = "it has to stay ready for " + std::to_string(shape_.min_ready_seconds) + "s (minReadySeconds); " +
                 human_duration(one.state.available_in) + " are left";
      return;
    }
    explain_pod(explanation_, one.pod, depth);
    if (outdated(one) && !one.state.terminating && !one.state.ended && !held_back(one)) {
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

  // The members, each on a line. One that keeps ending is well only between its ends: that is told.
  void all_well(int depth) {
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

  void missing(const Member& one, int depth) {
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
    const Value to_be = Value::object({{"metadata", Value::object({{"name", one.name}, {"namespace", shape_.ns}})}});
    for (const Value& one_template : set_["spec"]["volumeClaimTemplates"]) {
      const std::string claim = controllers::claim_name(shape_, api::name_of(one_template), one.ordinal);
      // Claims that are not there are made with the pod.
      if (!explanation_.in_namespace(kPersistentVolumeClaims, claim).is_null())
        explain_claim(explanation_, claim, to_be, false, depth + 1);
    }
  }

  // Who comes after the one that is waited for.
  void rest(const Member& first, int depth) {
    if (shape_.parallel || !first.wanted || shape_.terminating) return;
    std::vector<std::string> after;
    for (const Member& one : members_) {
      if (one.ordinal > first.ordinal && one.pod.is_null()) after.push_back(one.name);
    }
    if (after.empty()) return;
    const std::string names = after.size() <= 3 ? and_list(after) : after.front() + " to " + after.back();
    Line& line = explanation_.add(depth, Severity::kNote, names, "not made yet");
    line.why = "the set goes in order: " + first.name + " has to be " +
               (shape_.min_ready_seconds > 0 ? "available" : "ready") + " first";
  }

  static constexpr std::size_t kMostMembers = 3, kMostWell = 5;
  static constexpr Duration kRecent = 10min;
  Explanation& explanation_;
  const Value& set_;
  Shape shape_;
  std::string update_;
  std::map<std::string, Value> pods_;
  std::vector<Member> members_;  // that are to be there, by ordinal
  std::vector<Member> leaving_;  // from the last one down
};

}  // namespace

void explain_set(Explanation& explanation, const Value& set, int depth) {
  SetExplanation(explanation, set).tell(depth);
}

void explain_pod_of_name(Explanation& explanation, const Value& set, int ordinal, int depth) {
  SetExplanation(explanation, set).tell_place(ordinal, depth);
}

}  // namespace berth::why
