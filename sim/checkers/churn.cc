#include <algorithm>
#include <deque>
#include <map>

#include "controllers/shared/set_identity.h"
#include "sim/checkers/checkers.h"
#include "sim/checkers/expected_state.h"

namespace berth::sim {
namespace {

using namespace api::resources;  // NOLINT

constexpr Duration kStorm = 20s;
constexpr int kMadeInAStorm = 6;  // creations allowed without any reason

// The fields that determine pods and which pods an update replaces: a change of others replaces none.
Value made_of(const Value& set) {
  Value spec = set["spec"];
  for (const char* field :
       {"replicas", "minReadySeconds", "revisionHistoryLimit", "persistentVolumeClaimRetentionPolicy", "ordinals"}) {
    if (spec.is_object()) spec.erase(field);
  }
  Value options = Value::object();
  for (const auto& [key, value] : set["metadata"]["annotations"].entries()) {
    if (key.starts_with("berth.dev/")) options.set(key, value);
  }
  return Value::array({spec, options});
}

bool is_taken(const Value& pod) { return api::condition_is_true(pod, "DisruptionTarget"); }

class Churn final : public Checker {
 public:
  explicit Churn(Truth& truth) : truth_(truth), expected_(truth) {}
  std::string name() const override { return "churn"; }

  void on_change(const ObjectChange& change) override {
    expected_.on_change(change);
    if (change.resource == kStatefulSets && !change.before.is_null() && !change.after.is_null() &&
        !asks_the_same(change.before, change.after)) {
      ++count_[std::string(api::uid_of(change.after))].all_changes;
      if (made_of(change.before) != made_of(change.after)) ++count_[std::string(api::uid_of(change.after))].changes;
    }
    if (change.resource == kPersistentVolumeClaims && api::condition_is_true(change.after, "FileSystemResizePending") &&
        !api::condition_is_true(change.before, "FileSystemResizePending")) {
      ++remounts_;
    }
    if (change.resource != kPods) return;
    if (change.before.is_null()) return made(change.after);
    if (const Value& had = api::controller_of(change.before)["uid"], &has = api::controller_of(change.after)["uid"];
        had != has && !has.is_null())
      ++count_[has.str()].adopted[ordinal_of(change.after)];
    if (api::is_pod_terminal(change.after) && !api::is_pod_terminal(change.before) && !is_taken(change.after))
      explained(change.before);
    if (deletion_started(change)) going(change.before);
  }

 private:
  struct ChangeCount {
    int all_changes = 0;          // changes of anything in the desired state
    int changes = 0;              // changes of the fields that determine pods
    std::map<int, int> replaced;  // by ordinal
    std::map<int, int> adopted;   // likewise: created by another set, with another template
  };
  struct ReplicaLife {
    std::deque<Duration> made;
    std::deque<Duration> reasons;  // times when it ended, or users deleted it
  };

  void explained(const Value& pod) { lives_[api::name_key(pod)].reasons.push_back(truth_.world().elapsed()); }

  void going(const Value& pod) {
    const std::string_view uid = api::uid_of(pod);
    if (truth_.excused(uid)) {
      if (!is_taken(pod)) explained(pod);
      return;
    }
    const Value& set = owner_of(truth_, pod);
    if (set.is_null() || api::is_terminating(set) || api::is_pod_terminal(pod) || is_taken(pod)) return;
    const int ordinal = ordinal_of(pod);
    if (!expected_.all(set, [&](const ExpectedVersion& version) { return version.wants(ordinal); })) return;
    ChangeCount& count = count_[std::string(api::uid_of(set))];
    const int times = ++count.replaced[ordinal];
    // With two controllers one may recreate a pod according to the state before the last change.
    const int changes = count.changes + count.adopted[ordinal] + remounts_,
              allowed = truth_.alone() ? changes : 2 * changes + 1;
    if (times <= allowed) return;
    truth_.violation(name(), std::string(api::name_of(pod)) + " was replaced " + std::to_string(times) +
                                 " times, and what it is made of changed " + std::to_string(count.changes) + " times");
  }

  void made(const Value& pod) {
    const Value& set = owner_of(truth_, pod);
    if (set.is_null()) return;
    const Duration now = truth_.world().elapsed();
    ReplicaLife& life = lives_[api::name_key(pod)];
    life.made.push_back(now);
    for (auto* times : {&life.made, &life.reasons}) {
      while (!times->empty() && times->front() < now - kStorm) times->pop_front();
    }
    const std::size_t allowed = kMadeInAStorm + life.reasons.size() +
                                static_cast<std::size_t>(count_[std::string(api::uid_of(set))].all_changes);
    if (life.made.size() <= allowed) return;
    life.made.clear();  // report once
    truth_.violation(name(), std::string(api::name_of(pod)) + " was made again and again, more than " +
                                 std::to_string(allowed) + " times within " + std::to_string(kStorm / 1s) + " s");
  }

  Truth& truth_;
  ExpectedState expected_;
  std::map<std::string, ChangeCount> count_;  // by the set's uid
  std::map<api::Name, ReplicaLife> lives_;
  int remounts_ = 0;  // claims that needed another mount to grow
};

}  // namespace

std::unique_ptr<Checker> check_churn(Truth& truth) { return std::make_unique<Churn>(truth); }

}  // namespace berth::sim
