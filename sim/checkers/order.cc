#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include "controllers/shared/set_identity.h"
#include "sim/checkers/checkers.h"

namespace berth::sim {
namespace {

using namespace api::resources;  // NOLINT
using controllers::Member;
using controllers::parse_member;
using controllers::Shape;
using controllers::shape_of;

class Order final : public Checker {
 public:
  explicit Order(Truth& truth) : truth_(truth) {}
  std::string name() const override { return "order"; }

  void on_change(const Change& change) override {
    if (change.resource == kStatefulSets) return remember(change);
    if (change.resource != kPods) return;
    if (api::is_pod_ready(change.after)) been_ready_.insert(api::name_key(change.after));
    const Value& pod = change.after.is_null() ? change.before : change.after;
    const Member member = parse_member(api::name_of(pod));
    const api::Name set_name{std::string(api::namespace_of(pod)), std::string(member.parent)};
    const Value& set = truth_.get(kStatefulSets, set_name);
    if (set.is_null() || api::is_terminating(set) || member.ordinal < 0) return;
    // An earlier set's pod is the garbage collector's.
    if (!api::is_controlled_by(pod, api::uid_of(set))) return;
    // While the wish itself is new, somebody may honestly still work on the old one.
    const bool new_wish = truth_.world().elapsed() - truth_.wish_changed(set_name) < truth_.slack();
    const Shape shape = shape_of(set);
    if (shape.parallel) return;
    if (change.before.is_null()) {
      if (!new_wish) created(shape, member.ordinal);
    } else if (!change.after.is_null() && !api::is_terminating(change.before) && api::is_terminating(change.after)) {
      if (truth_.excused(api::uid_of(pod))) return;
      const std::string_view phase = change.before["status"]["phase"].as_string();
      if (phase == "Failed" || phase == "Succeeded") return;
      // What an update took down may since have become one too many.
      const bool outdated =
          api::label_of(pod, controllers::kRevisionLabel) != set["status"]["updateRevision"].as_string() ||
          set["status"]["updatedReplicas"].as_int() != set["spec"]["replicas"].as_int();
      if (!shape.in_range(member.ordinal)) {
        if (!new_wish || !outdated) removed(set_name, shape, set, member.ordinal);
      } else if (!new_wish) {
        // One that is not ready itself, or was not when somebody looked, costs nothing.
        if (api::is_pod_ready(change.before) && at(shape, member.ordinal).ready_since < long_ago())
          replaced(shape, member.ordinal);
      }
    }
  }

 private:
  // What a set asked for before, and until when: a decision may still rest on it.
  struct Earlier {
    Shape shape;
    Duration until;
  };
  void remember(const Change& change) {
    if (change.after.is_null()) {
      std::erase_if(been_ready_, [&](const api::Name& pod) {
        return pod.ns == api::namespace_of(change.before) &&
               parse_member(pod.name).parent == api::name_of(change.before);
      });
    }
    if (change.before.is_null() || change.after.is_null() || asks_the_same(change.before, change.after)) return;
    std::vector<Earlier>& earlier = earlier_[api::name_key(change.before)];
    std::erase_if(earlier, [&](const Earlier& one) { return one.until < long_ago(); });
    earlier.push_back({shape_of(change.before), truth_.world().elapsed()});
  }
  Duration long_ago() const { return truth_.world().elapsed() - truth_.slack(); }
  const PodHistory& at(const Shape& shape, int ordinal) const {
    return truth_.history({shape.ns, controllers::pod_name(shape, ordinal)});
  }
  // Has been missing, dying or not ready without a break for so long that everybody must know.
  bool long_unhealthy(const Shape& shape, int ordinal) const {
    const PodHistory& pod = at(shape, ordinal);
    if (pod.uid.empty()) return pod.gone_since < long_ago();
    if (pod.terminating && pod.terminating_since < long_ago()) return true;
    // A pod that came lately may have had a ready predecessor that a cache still shows.
    return !pod.ready && pod.unready_since < long_ago() && pod.since < long_ago();
  }

  // After an outage of all members those that have been ready before may come together.
  bool ends_an_outage(const Shape& shape, int ordinal) const {
    if (!been_ready_.count({shape.ns, controllers::pod_name(shape, ordinal)})) return false;
    const std::string_view set = api::uid_of(truth_.get(kStatefulSets, {shape.ns, shape.name}));
    for (int i : shape.ordinals()) {
      const PodHistory& pod = at(shape, i);
      const api::Name name{shape.ns, controllers::pod_name(shape, i)};
      if (!api::is_controlled_by(truth_.get(kPods, name), set)) continue;  // released: not a member any more
      if (!pod.uid.empty() && pod.ready && !pod.terminating && pod.ready_since < long_ago()) return false;
    }
    return true;
  }

  void created(const Shape& shape, int ordinal) {
    if (ends_an_outage(shape, ordinal)) return;
    for (int i : shape.ordinals()) {
      if (i >= ordinal) break;
      const PodHistory& pod = at(shape, i);
      // Never there at all is wrong whatever the lag.
      const bool never = pod.uid.empty() && pod.gone_since == Duration{};
      const bool never_ready =
          !pod.uid.empty() && pod.gone_since == Duration{} && !pod.ready && pod.ready_since == Duration{};
      if (!never && !never_ready && !long_unhealthy(shape, i)) continue;
      truth_.violation(name(), shape.name + "-" + std::to_string(ordinal) + " was created before " + shape.name + "-" +
                                   std::to_string(i) + " was ready");
      return;
    }
  }
  // Wrong by what is asked for now and by everything that was asked for lately.
  void removed(const api::Name& set_name, const Shape& shape, const Value& set, int ordinal) {
    const std::string behind = first_behind(shape, set, ordinal);
    if (behind.empty()) return;
    for (const Earlier& one : earlier_[set_name]) {
      if (one.until < long_ago() || one.shape.in_range(ordinal)) continue;
      if (first_behind(one.shape, set, ordinal).empty()) return;
    }
    truth_.violation(name(), shape.name + "-" + std::to_string(ordinal) + " was removed before " + behind);
  }
  // A member that had to be removed earlier than `ordinal`.
  std::string first_behind(const Shape& shape, const Value& set, int ordinal) const {
    for (const auto& [pod_name, pod] : truth_.all(kPods)) {
      const Member other = parse_member(pod_name.name);
      if (pod_name.ns != shape.ns || other.parent != shape.name || other.ordinal <= ordinal) continue;
      if (shape.in_range(other.ordinal)) continue;
      if (!api::is_controlled_by(pod, api::uid_of(set))) continue;  // an earlier set's
      if (truth_.history(pod_name).since >= long_ago()) continue;
      return pod_name.name;
    }
    return {};
  }
  void replaced(const Shape& shape, int ordinal) {
    int missing = 0;
    for (int i : shape.ordinals()) {
      if (i != ordinal && long_unhealthy(shape, i)) ++missing;
    }
    if (missing < shape.max_unavailable || shape.options.recreate) return;
    truth_.violation(name(), shape.name + "-" + std::to_string(ordinal) + " was taken down while " +
                                 std::to_string(missing) + " others are missing");
  }

  Truth& truth_;
  std::map<api::Name, std::vector<Earlier>> earlier_;
  std::set<api::Name> been_ready_;
};

}  // namespace

std::unique_ptr<Checker> check_order(Truth& truth) { return std::make_unique<Order>(truth); }

}  // namespace berth::sim
