#include <map>
#include <set>
#include <vector>

#include "controllers/shared/set_identity.h"
#include "sim/checkers/checkers.h"

namespace berth::sim {
namespace {

using namespace api::resources;  // NOLINT
using namespace controllers;     // NOLINT

// The set of a pod, if it exists and is not being deleted.
const Value& set_of(const Truth& truth, const Value& pod) {
  static const Value none;
  const MemberName member = parse_member_name(api::name_of(pod));
  const Value& set = truth.get(kStatefulSets, {std::string(api::namespace_of(pod)), std::string(member.parent)});
  const bool alive = !set.is_null() && !api::is_terminating(set) && member.ordinal >= 0;
  return alive && api::is_controlled_by(pod, api::uid_of(set)) ? set : none;
}

bool termination_started(const ObjectChange& change) {
  return !change.before.is_null() && !change.after.is_null() && !api::is_terminating(change.before) &&
         api::is_terminating(change.after);
}

bool is_recent(const Truth& truth, World& world, const Value& set) {
  return world.elapsed() - truth.spec_changed_at(api::name_key(set)) < truth.slack();
}

class Budget final : public Checker {
 public:
  explicit Budget(Truth& truth) : truth_(truth) {}
  std::string name() const override { return "budget"; }

  void on_change(const ObjectChange& change) override {
    if (change.resource == kStatefulSets) return remember(change);
    if (change.resource != kPods || change.before.is_null()) return;
    const Value& set = set_of(truth_, change.before);
    if (set.is_null()) return;
    const SetSpec set_spec = parse_set_spec(set);
    const int ordinal = parse_member_name(api::name_of(change.before)).ordinal;
    std::set<int>& down = down_[std::string(api::uid_of(set))];
    const bool was_available = available(set_spec, change.before);
    if (was_available) down.erase(ordinal);
    if (!termination_started(change) || !set_spec.in_range(ordinal) || truth_.excused(api::uid_of(change.before)))
      return;
    // A pod that became available just now may correctly have counted as unavailable.
    const PodHistory& history = truth_.history(api::name_key(change.before));
    if (!was_available || truth_.world().elapsed() - history.ready_since < truth_.slack()) return;
    std::erase_if(down, [&](int other) {
      return !set_spec.in_range(other) ||
             available(set_spec, truth_.get(kPods, {set_spec.ns, pod_name(set_spec, other)}));
    });
    down.insert(ordinal);
    // With two controllers one may follow the desired state before the last change.
    int allowed = set_spec.options.recreate ? set_spec.replicas : set_spec.max_unavailable;
    for (const EarlierSpec& one : earlier_[std::string(api::uid_of(set))]) {
      if (one.until < long_ago()) continue;
      if (!one.set_spec.in_range(ordinal)) return;  // then it had to be deleted
      allowed += one.set_spec.options.recreate ? one.set_spec.replicas : one.set_spec.max_unavailable;
    }
    if (static_cast<int>(down.size()) <= allowed) return;
    truth_.violation(name(), pod_name(set_spec, ordinal) + " is number " + std::to_string(down.size()) +
                                 " that was taken down at once; maxUnavailable is " +
                                 std::to_string(set_spec.max_unavailable));
  }

 private:
  struct EarlierSpec {
    SetSpec set_spec;
    Duration until;
  };
  Duration long_ago() const { return truth_.world().elapsed() - truth_.slack(); }
  void remember(const ObjectChange& change) {
    if (change.before.is_null() || asks_the_same(change.before, change.after)) return;
    std::vector<EarlierSpec>& earlier = earlier_[std::string(api::uid_of(change.before))];
    std::erase_if(earlier, [&](const EarlierSpec& one) { return one.until < long_ago(); });
    earlier.push_back({parse_set_spec(change.before), truth_.world().elapsed()});
  }
  bool available(const SetSpec& set_spec, const Value& pod) const {
    const PodState state = state_of(pod, set_spec.min_ready_seconds, truth_.world().now());
    return state.available && !state.terminating;
  }

  Truth& truth_;
  std::map<std::string, std::vector<EarlierSpec>> earlier_;  // by uid of the set
  // by uid of the set: pods that it deleted and that are not available again
  std::map<std::string, std::set<int>> down_;
};

class Partition final : public Checker {
 public:
  explicit Partition(Truth& truth) : truth_(truth) {}
  std::string name() const override { return "partition"; }

  void on_change(const ObjectChange& change) override {
    if (change.resource == kStatefulSets) return remember(change);
    if (change.resource != kPods) return;
    const Value& pod = change.after.is_null() ? change.before : change.after;
    const Value& set = set_of(truth_, pod);
    if (set.is_null() || is_recent(truth_, truth_.world(), set)) return;
    const Duration renamed = renamed_[std::string(api::uid_of(set))];
    if (truth_.world().elapsed() - renamed < truth_.slack()) return;
    const SetSpec set_spec = parse_set_spec(set);
    const int ordinal = parse_member_name(api::name_of(pod)).ordinal;
    if (!set_spec.in_range(ordinal)) return;
    const bool keeps = !set_spec.on_delete && ordinal < set_spec.first_updated();
    if (change.before.is_null()) {
      const std::string_view wanted = set["status"][keeps ? "currentRevision" : "updateRevision"].as_string();
      const std::string_view revision = api::label_of(pod, kRevisionLabel);
      if (wanted.empty() || revision == wanted) return;
      truth_.violation(name(), std::string(api::name_of(pod)) + " was made of revision " + std::string(revision) +
                                   " and should be of " + std::string(wanted));
    } else if (termination_started(change) && (keeps || set_spec.on_delete) && !truth_.excused(api::uid_of(pod)) &&
               !api::is_pod_terminal(change.before)) {
      truth_.violation(name(), std::string(api::name_of(pod)) + " was taken down though no update concerns it");
    }
  }

 private:
  void remember(const ObjectChange& change) {
    for (const char* field : {"currentRevision", "updateRevision"}) {
      if (change.before["status"][field] != change.after["status"][field])
        renamed_[std::string(api::uid_of(change.after))] = truth_.world().elapsed();
    }
  }

  Truth& truth_;
  std::map<std::string, Duration> renamed_;  // by uid of the set: when its status last named another revision
};

}  // namespace

std::unique_ptr<Checker> check_budget(Truth& truth) { return std::make_unique<Budget>(truth); }
std::unique_ptr<Checker> check_partition(Truth& truth) { return std::make_unique<Partition>(truth); }

}  // namespace berth::sim
