#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include "controllers/shared/set_identity.h"
#include "sim/checkers/checkers.h"

namespace berth::sim {
namespace {

using namespace api::resources;  // NOLINT
using controllers::MemberName;
using controllers::parse_member_name;
using controllers::parse_set_spec;
using controllers::SetSpec;

class Order final : public Checker {
 public:
  explicit Order(Truth& truth) : truth_(truth) {}
  std::string name() const override { return "order"; }

  void on_change(const ObjectChange& change) override {
    if (change.resource == kStatefulSets) return remember(change);
    if (change.resource != kPods) return;
    if (api::is_pod_ready(change.after)) been_ready_.insert(api::name_key(change.after));
    const Value& pod = change.after.is_null() ? change.before : change.after;
    const MemberName member = parse_member_name(api::name_of(pod));
    const api::Name set_name{std::string(api::namespace_of(pod)), std::string(member.parent)};
    const Value& set = truth_.get(kStatefulSets, set_name);
    if (set.is_null() || api::is_terminating(set) || member.ordinal < 0) return;
    // The garbage collector handles pods of an earlier set.
    if (!api::is_controlled_by(pod, api::uid_of(set))) return;
    // Shortly after a change of the desired state, a controller may correctly still follow the old one.
    const bool expectation_changed =
        truth_.world().elapsed() - truth_.expectation_changed_at(set_name) < truth_.slack();
    const SetSpec set_spec = parse_set_spec(set);
    if (set_spec.parallel) return;
    if (change.before.is_null()) {
      if (!expectation_changed) created(set_spec, member.ordinal);
    } else if (!change.after.is_null() && !api::is_terminating(change.before) && api::is_terminating(change.after)) {
      if (truth_.excused(api::uid_of(pod))) return;
      const std::string_view phase = change.before["status"]["phase"].as_string();
      if (phase == "Failed" || phase == "Succeeded") return;
      // A pod that an update deleted may have become surplus since.
      const bool outdated =
          api::label_of(pod, controllers::kRevisionLabel) != set["status"]["updateRevision"].as_string() ||
          set["status"]["updatedReplicas"].as_int() != set["spec"]["replicas"].as_int();
      if (!set_spec.in_range(member.ordinal)) {
        if (!expectation_changed || !outdated) removed(set_name, set_spec, set, member.ordinal);
      } else if (!expectation_changed) {
        // Replacing a pod that is not ready, or was not ready recently, costs nothing.
        if (api::is_pod_ready(change.before) && at(set_spec, member.ordinal).ready_since < long_ago())
          replaced(set_spec, member.ordinal);
      }
    }
  }

 private:
  // The set's desired state before, and until when: a decision may rest on it.
  struct EarlierSpec {
    SetSpec set_spec;
    Duration until;
  };
  void remember(const ObjectChange& change) {
    if (change.after.is_null()) {
      std::erase_if(been_ready_, [&](const api::Name& pod) {
        return pod.ns == api::namespace_of(change.before) &&
               parse_member_name(pod.name).parent == api::name_of(change.before);
      });
    }
    if (change.before.is_null() || change.after.is_null() || asks_the_same(change.before, change.after)) return;
    std::vector<EarlierSpec>& earlier = earlier_[api::name_key(change.before)];
    std::erase_if(earlier, [&](const EarlierSpec& one) { return one.until < long_ago(); });
    earlier.push_back({parse_set_spec(change.before), truth_.world().elapsed()});
  }
  Duration long_ago() const { return truth_.world().elapsed() - truth_.slack(); }
  const PodHistory& at(const SetSpec& set_spec, int ordinal) const {
    return truth_.history({set_spec.ns, controllers::pod_name(set_spec, ordinal)});
  }
  // True if the pod has been missing, terminating or not ready for longer than any cache lags.
  bool long_unhealthy(const SetSpec& set_spec, int ordinal) const {
    const PodHistory& pod = at(set_spec, ordinal);
    if (pod.uid.empty()) return pod.gone_since < long_ago();
    if (pod.terminating && pod.terminating_since < long_ago()) return true;
    // A new pod may have had a ready predecessor that a cache still contains.
    return !pod.ready && pod.unready_since < long_ago() && pod.since < long_ago();
  }

  // After an outage of all pods, those that have been ready before may start together.
  bool ends_an_outage(const SetSpec& set_spec, int ordinal) const {
    if (!been_ready_.count({set_spec.ns, controllers::pod_name(set_spec, ordinal)})) return false;
    const std::string_view set = api::uid_of(truth_.get(kStatefulSets, {set_spec.ns, set_spec.name}));
    for (int i : set_spec.ordinals()) {
      const PodHistory& pod = at(set_spec, i);
      const api::Name name{set_spec.ns, controllers::pod_name(set_spec, i)};
      if (!api::is_controlled_by(truth_.get(kPods, name), set)) continue;  // released: not a pod of the set any more
      if (!pod.uid.empty() && pod.ready && !pod.terminating && pod.ready_since < long_ago()) return false;
    }
    return true;
  }

  void created(const SetSpec& set_spec, int ordinal) {
    if (ends_an_outage(set_spec, ordinal)) return;
    for (int i : set_spec.ordinals()) {
      if (i >= ordinal) break;
      const PodHistory& pod = at(set_spec, i);
      // If it never existed, no lag is an excuse.
      const bool never = pod.uid.empty() && pod.gone_since == Duration{};
      const bool never_ready =
          !pod.uid.empty() && pod.gone_since == Duration{} && !pod.ready && pod.ready_since == Duration{};
      if (!never && !never_ready && !long_unhealthy(set_spec, i)) continue;
      truth_.violation(name(), set_spec.name + "-" + std::to_string(ordinal) + " was created before " + set_spec.name +
                                   "-" + std::to_string(i) + " was ready");
      return;
    }
  }
  // A violation by the present desired state and by all recent ones.
  void removed(const api::Name& set_name, const SetSpec& set_spec, const Value& set, int ordinal) {
    const std::string behind = first_behind(set_spec, set, ordinal);
    if (behind.empty()) return;
    for (const EarlierSpec& one : earlier_[set_name]) {
      if (one.until < long_ago() || one.set_spec.in_range(ordinal)) continue;
      if (first_behind(one.set_spec, set, ordinal).empty()) return;
    }
    truth_.violation(name(), set_spec.name + "-" + std::to_string(ordinal) + " was removed before " + behind);
  }
  // A pod that must be removed before `ordinal`.
  std::string first_behind(const SetSpec& set_spec, const Value& set, int ordinal) const {
    for (const auto& [pod_name, pod] : truth_.all(kPods)) {
      const MemberName other = parse_member_name(pod_name.name);
      if (pod_name.ns != set_spec.ns || other.parent != set_spec.name || other.ordinal <= ordinal) continue;
      if (set_spec.in_range(other.ordinal)) continue;
      if (!api::is_controlled_by(pod, api::uid_of(set))) continue;  // of an earlier set
      if (truth_.history(pod_name).since >= long_ago()) continue;
      return pod_name.name;
    }
    return {};
  }
  void replaced(const SetSpec& set_spec, int ordinal) {
    int missing = 0;
    for (int i : set_spec.ordinals()) {
      if (i != ordinal && long_unhealthy(set_spec, i)) ++missing;
    }
    if (missing < set_spec.max_unavailable || set_spec.options.recreate) return;
    truth_.violation(name(), set_spec.name + "-" + std::to_string(ordinal) + " was taken down while " +
                                 std::to_string(missing) + " others are missing");
  }

  Truth& truth_;
  std::map<api::Name, std::vector<EarlierSpec>> earlier_;
  std::set<api::Name> been_ready_;
};

}  // namespace

std::unique_ptr<Checker> check_order(Truth& truth) { return std::make_unique<Order>(truth); }

}  // namespace berth::sim
