#include <algorithm>
#include <map>
#include <set>

#include "api/selector.h"
#include "api/set_options.h"
#include "base/text.h"
#include "sim/checkers/checkers.h"
#include "sim/checkers/expected_state.h"

namespace berth::sim {
namespace {

using namespace api::resources;  // NOLINT

bool is_healthy(const Value& pod) {
  return api::is_pod_ready(pod) && !api::is_terminating(pod) && !api::is_pod_terminal(pod);
}

bool selects(const Value& budget, const Value& pod) {
  const auto selector = api::LabelSelector::of_object(budget["spec"]["selector"]);
  return budget["metadata"]["namespace"] == pod["metadata"]["namespace"] && selector.ok() &&
         !api::labels_of(pod).empty() && selector->matches(api::labels_of(pod));
}

// Resolves a number or a percentage.
int resolve(const Value& value, int total, bool round_up) {
  if (value.is_int()) return static_cast<int>(value.as_int());
  std::string_view text = value.as_string();
  text.remove_suffix(1);
  return static_cast<int>((parse_int(text).value() * total + (round_up ? 99 : 0)) / 100);
}

class Disruption final : public Checker {
 public:
  explicit Disruption(Truth& truth) : truth_(truth), expected_(truth) {}
  std::string name() const override { return "disruption"; }

  void on_change(const ObjectChange& change) override {
    expected_.on_change(change);
    if (change.resource == kPodDisruptionBudgets && !change.before.is_null() &&
        change.before["spec"] != change.after["spec"])
      earlier_[std::string(api::uid_of(change.before))].emplace_back(change.before, truth_.world().elapsed());
    if (change.resource != kPods || !is_healthy(change.before)) return;
    if (deletion_started(change)) {
      for (const auto& [name, budget] : truth_.all(kPodDisruptionBudgets)) {
        if (api::annotation_of(budget, api::kBudgetEverything) == "true" && selects(budget, change.before))
          judge(budget, change.before);
      }
    } else if (!is_healthy(change.after) || api::labels_of(change.before) != api::labels_of(change.after)) {
      lost_[api::name_key(change.before)] = {change.before, truth_.world().elapsed()};
    }
  }

 private:
  struct LostPod {
    Value pod;
    Duration at;
  };
  Duration long_ago() const { return truth_.world().elapsed() - truth_.slack(); }

  void judge(const Value& budget, const Value& gone) {
    // Includes pods that became unhealthy recently without being deleted: the client that deleted this one may not have
    // known.
    int healthy = 0;
    for (const auto& [name, pod] : truth_.all(kPods)) {
      if (name == api::name_key(gone)) continue;
      if (is_healthy(pod) && selects(budget, pod)) ++healthy;
    }
    for (const auto& [name, lost] : lost_) {
      const Value& now = truth_.get(kPods, name);
      const bool counted = name == api::name_key(gone) || (is_healthy(now) && selects(budget, now));
      if (lost.at >= long_ago() && !counted && selects(budget, lost.pod)) ++healthy;
    }
    int needed = needed_by(budget, budget, gone);
    for (const auto& [before, until] : earlier_[std::string(api::uid_of(budget))]) {
      if (until >= long_ago()) needed = std::min(needed, needed_by(before, budget, gone));
    }
    if (healthy >= needed) return;
    truth_.violation(name(), std::string(api::name_of(gone)) + " was taken down and left " + std::to_string(healthy) +
                                 " healthy pods of the " + std::to_string(needed) + " that budget " +
                                 std::string(api::name_of(budget)) + " wants");
  }

  int needed_by(const Value& version, const Value& budget, const Value& gone) const {
    const Value &most = version["spec"]["maxUnavailable"], &least = version["spec"]["minAvailable"];
    if (least.is_int()) return static_cast<int>(least.as_int());
    bool ending = false;
    const int expected = expected_by(budget, gone, ending);
    return most.is_null() ? resolve(least, expected, !ending) : std::max(0, expected - resolve(most, expected, true));
  }
  // The smallest number that the pods' owners may have specified recently. An owner being deleted counts its remaining
  // pods.
  int expected_by(const Value& budget, const Value& gone, bool& ending) const {
    struct Owner {
      Value set;
      std::string name;
      int pods = 0, healthy = 0;
    };
    std::map<std::string, Owner> owners;  // by uid
    std::set<std::string> ending_names;
    for (const auto& [name, pod] : truth_.all(kPods)) {
      if (!selects(budget, pod)) continue;
      const Value& controller = api::controller_of(pod);
      const bool known = truth_.history(name).since <= long_ago() && truth_.history(name).owned_since <= long_ago();
      const Value& set = owner_of(truth_, pod);
      if (set.is_null() || api::is_terminating(set)) ending_names.insert(controller["name"].str());
      if (controller.is_null() || !known) continue;
      Owner& owner = owners[controller["uid"].str()];
      owner.set = set;
      owner.name = controller["name"].str();
      ++owner.pods;
      owner.healthy += is_healthy(pod) && name != api::name_key(gone) ? 1 : 0;
    }
    int expected = 0;
    for (const auto& [uid, owner] : owners) {
      const bool ends = owner.set.is_null() || api::is_terminating(owner.set);
      ending |= ends;
      int least = ends ? owner.healthy : ExpectedVersion(owner.set).replicas;
      if (!owner.set.is_null()) {
        for (const ExpectedVersion& version : expected_.of(owner.set)) least = std::min(least, version.replicas);
      }
      // A set of the same name waits until the names of its predecessor's pods are free.
      if (ending_names.count(owner.name)) least = std::min(least, owner.pods);
      expected += least;
    }
    return expected;
  }

  Truth& truth_;
  ExpectedState expected_;
  std::map<std::string, std::vector<std::pair<Value, Duration>>>
      earlier_;  // versions of budgets by uid, and until when
  std::map<api::Name, LostPod> lost_;
};

}  // namespace

std::unique_ptr<Checker> check_disruption(Truth& truth) { return std::make_unique<Disruption>(truth); }

}  // namespace berth::sim
