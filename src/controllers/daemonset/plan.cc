#include "controllers/daemonset/plan.h"

#include <algorithm>
#include <optional>

#include "api/selector.h"
#include "base/time/time.h"
#include "controllers/daemonset/nodes.h"
#include "controllers/shared/members.h"
#include "controllers/shared/numbers.h"
#include "controllers/shared/pod_names.h"

namespace berth::controllers::daemonset {
namespace {

using namespace api::resources;  // NOLINT

constexpr std::size_t kMostAtOnce = 250;  // pods created, and pods deleted, by one plan

std::string_view phase_of(const Value& pod) { return pod["status"]["phase"].as_string(); }

// Those with a node first, then the oldest.
bool comes_before(const Value& a, const Value& b) {
  const bool x = !a["spec"]["nodeName"].as_string().empty(), y = !b["spec"]["nodeName"].as_string().empty();
  if (x != y) return x;
  const std::string_view s = a["metadata"]["creationTimestamp"].as_string(),
                         t = b["metadata"]["creationTimestamp"].as_string();
  return s != t ? s < t : api::name_of(a) < api::name_of(b);
}

// What is known of one node and the set's pods for it.
struct Spot {
  Value node;  // null: there is none
  Fitness fitness;
  std::vector<Value> pods;  // without those that have ended and are being deleted
};

class Planner {
 public:
  Planner(const View& view, Time now) : view_(view), set_(view.set), now_(now) { out_.backoffs = view.backoffs; }
  Decision run();

 private:
  void find_spots();
  void manage();
  void settle_spot(const std::string& name, Spot& spot);
  bool may_kill_failed(const std::string& node);
  void prune_surge(std::vector<Value>& running);
  void roll();
  void roll_by_deleting(int unavailable_allowed);
  void roll_by_surging(int surge_allowed, int desired);
  void create_on(const std::string& node);
  void drop(const Value& pod) { doomed_.push_back(pod); }
  void carry_out();
  void report();

  bool is_rolling() const { return set_["spec"]["updateStrategy"]["type"].as_string() != "OnDelete"; }
  int bound(const char* field, int total) const {
    return is_rolling() ? part_in(set_["spec"]["updateStrategy"]["rollingUpdate"][field], total, true) : 0;
  }
  bool surges() const { return bound("maxSurge", 1) > 0; }
  bool is_updated(const Value& pod) const { return api::label_of(pod, kHashLabel) == history_.hash; }
  bool is_available(const Value& pod);

  const View& view_;
  const Value& set_;
  Time now_;
  Decision out_;
  History history_;
  std::vector<Value> members_;
  std::map<std::string, Spot> spots_;  // of every node, and of nodes that pods name
  std::vector<std::string> lacking_;   // nodes that need a pod now
  std::vector<Value> doomed_;          // pods to delete now
};

Decision Planner::run() {
  Plan& plan = out_.plan;
  const auto selector = api::LabelSelector::of_object(set_["spec"]["selector"]);
  if (!selector.ok() || api::is_terminating(set_)) return std::move(out_);
  if (const std::string why = why_unusable(set_); !why.empty()) {
    plan.event(set_, kWarning, "Unusable", why);
    return std::move(out_);
  }
  if (selector->matches_everything()) {
    plan.event(set_, kWarning, "SelectingAll",
               "This daemon set is selecting all pods. A non-empty selector is required.");
    return std::move(out_);
  }
  const Family of_pods{kDaemonSets, "apps/v1", "DaemonSet", kPods};
  const Family of_revisions{kDaemonSets, "apps/v1", "DaemonSet", kControllerRevisions};
  members_ = settle_members(of_pods, set_, selector.value(), view_.pods, view_.orphans, plan);
  const auto revisions =
      settle_members(of_revisions, set_, selector.value(), view_.revisions, view_.orphan_revisions, plan);
  if (!plan.chains.empty()) return std::move(out_);
  history_ = settle_history(set_, revisions, members_, view_.revision, plan);
  if (history_.hash.empty()) return std::move(out_);
  find_spots();
  plan.members = std::max(spots_.size(), members_.size());
  manage();
  if (lacking_.empty() && doomed_.empty() && is_rolling()) roll();
  carry_out();
  report();
  for (const Value& one : surplus(set_, history_.old, members_)) plan.then.push_back(remove(kControllerRevisions, one));
  return std::move(out_);
}

void Planner::find_spots() {
  for (const Value& node : view_.nodes) {
    Spot& spot = spots_[std::string(api::name_of(node))];
    spot.node = node;
    spot.fitness = fitness_of(set_, node);
  }
  for (const Value& pod : members_) {
    const std::string node = target_of(pod);
    if (node.empty() || (api::is_terminating(pod) && api::is_pod_terminal(pod))) continue;
    spots_[node].pods.push_back(pod);
  }
  for (auto& [name, spot] : spots_) std::sort(spot.pods.begin(), spot.pods.end(), comes_before);
}

bool Planner::is_available(const Value& pod) {
  const Value& ready = api::condition_of(pod, "Ready");
  if (ready["status"].as_string() != "True") return false;
  const Duration settle = seconds_in(set_["spec"]["minReadySeconds"]);
  if (settle <= Duration::zero()) return true;
  const auto since = parse_time(ready["lastTransitionTime"].as_string());
  if (!since.ok()) return false;
  const Duration left = settle - (now_ - since.value());
  if (left > Duration::zero()) out_.plan.requeue_after(left);
  return left <= Duration::zero();
}

// --- One pod on each node that should have one

void Planner::manage() {
  for (auto& [name, spot] : spots_) {
    if (!spot.node.is_null()) {
      settle_spot(name, spot);
      continue;
    }
    // Nobody will ever place these, and nobody else takes them away.
    for (const Value& pod : spot.pods) {
      if (pod["spec"]["nodeName"].as_string().empty() && !api::is_terminating(pod)) drop(pod);
    }
  }
}

void Planner::settle_spot(const std::string& name, Spot& spot) {
  if (spot.fitness.run && spot.pods.empty()) {
    lacking_.push_back(name);
    return;
  }
  std::vector<Value> running;
  for (const Value& pod : spot.pods) {
    if (api::is_terminating(pod)) continue;
    const std::string what = " daemon pod " + key_of(pod) + " on node " + name + ", will try to ";
    if (!spot.fitness.stay) {
      drop(pod);
    } else if (phase_of(pod) == "Failed") {
      if (!may_kill_failed(name)) continue;
      out_.plan.event(set_, kWarning, "FailedDaemonPod", "Found failed" + what + "kill it");
      drop(pod);
    } else if (phase_of(pod) == "Succeeded") {
      out_.plan.event(set_, kNormal, "SucceededDaemonPod", "Found succeeded" + what + "delete it");
      drop(pod);
    } else {
      running.push_back(pod);
    }
  }
  if (!spot.fitness.stay) return;
  if (!surges()) {
    for (std::size_t i = 1; i < running.size(); ++i) drop(running[i]);
  } else if (running.size() > 1) {
    prune_surge(running);
  } else if (running.empty() && spot.fitness.run) {
    lacking_.push_back(name);
  }
}

bool Planner::may_kill_failed(const std::string& node) {
  auto [at, fresh] = out_.backoffs.try_emplace(node);
  Backoff& known = at->second;
  const Duration since = now_ - known.last;
  const bool forgotten = fresh || since > 2 * kLongestBackoff;
  if (!forgotten && since < known.delay) {
    out_.plan.requeue_after(known.delay - since);
    return false;
  }
  known = Backoff{forgotten ? kFirstBackoff : std::min(2 * known.delay, kLongestBackoff), now_};
  return true;
}

// Two may run: the oldest new one while it is not available yet, beside the oldest old one while that is ready.
void Planner::prune_surge(std::vector<Value>& running) {
  Value fresh, old;
  for (const Value& pod : running) {
    Value& place = is_updated(pod) ? fresh : old;
    if (place.is_null()) {
      place = pod;
    } else {
      drop(pod);
    }
  }
  if (fresh.is_null() || old.is_null()) return;
  if (!api::is_pod_ready(old) || is_available(fresh)) drop(old);
}

// --- Updates

// The new and the old pod of a node among those that are not being deleted.
struct Pair {
  Value fresh, old;
  bool crowded = false;  // more than one of a kind
};

template <class IsUpdated>
Pair pair_of(const Spot& spot, const IsUpdated& is_updated) {
  Pair pair;
  for (const Value& pod : spot.pods) {
    if (api::is_terminating(pod)) continue;
    Value& place = is_updated(pod) ? pair.fresh : pair.old;
    if (!place.is_null()) return Pair{{}, {}, true};
    place = pod;
  }
  return pair;
}

void Planner::roll() {
  int desired = 0;
  for (const auto& [name, spot] : spots_) desired += spot.fitness.run ? 1 : 0;
  int unavailable = bound("maxUnavailable", desired);
  const int surge = bound("maxSurge", desired);
  if (surge > 0) return roll_by_surging(surge, desired);
  roll_by_deleting(desired > 0 && unavailable == 0 ? 1 : unavailable);
}

void Planner::roll_by_deleting(int allowed) {
  int unavailable = 0;
  std::vector<Value> candidates;
  for (const auto& [name, spot] : spots_) {
    if (spot.pods.empty() && !spot.fitness.run) continue;
    const Pair pair = pair_of(spot, [this](const Value& pod) { return is_updated(pod); });
    if (pair.crowded || pair.fresh.is_null() == pair.old.is_null()) {
      ++unavailable;
    } else if (!pair.fresh.is_null()) {
      unavailable += is_available(pair.fresh) ? 0 : 1;
    } else if (!is_available(pair.old)) {
      drop(pair.old);
      ++unavailable;
    } else {
      candidates.push_back(pair.old);
    }
  }
  for (int i = 0; i < std::min<int>(allowed - unavailable, static_cast<int>(candidates.size())); ++i) {
    drop(candidates[static_cast<std::size_t>(i)]);
  }
}

void Planner::roll_by_surging(int allowed, int desired) {
  int surging = 0, available = 0;
  std::vector<std::string> candidates;
  std::vector<Value> misplaced;  // they serve where they no longer should
  for (const auto& [name, spot] : spots_) {
    const Pair pair = pair_of(spot, [this](const Value& pod) { return is_updated(pod); });
    if (pair.crowded) {
      ++surging;
      continue;
    }
    const bool old_serves = !pair.old.is_null() && is_available(pair.old);
    const bool new_serves = !pair.fresh.is_null() && is_available(pair.fresh);
    available += (pair.old.is_null() ? new_serves : old_serves) ? 1 : 0;
    if (pair.old.is_null()) continue;
    if (!pair.fresh.is_null()) {
      if (new_serves) {
        drop(pair.old);
      } else {
        ++surging;
      }
    } else if (!spot.fitness.run) {
      if (old_serves) {
        misplaced.push_back(pair.old);
      } else {
        drop(pair.old);
      }
    } else if (old_serves) {
      candidates.push_back(name);
    } else {
      lacking_.push_back(name);
    }
  }
  // Whoever asks for a surge wants nothing missing: what serves in a wrong place stays until a right one serves
  // instead.
  for (int i = 0; i < std::min<int>(available - desired, static_cast<int>(misplaced.size())); ++i) {
    drop(misplaced[static_cast<std::size_t>(i)]);
  }
  for (int i = 0; i < std::min<int>(allowed - surging, static_cast<int>(candidates.size())); ++i) {
    lacking_.push_back(candidates[static_cast<std::size_t>(i)]);
  }
}

// --- Writes

void Planner::create_on(const std::string& node) {
  std::string state =
      std::string(api::uid_of(set_)) + "/" + node + "/" + history_.hash + "/" + std::to_string(view_.gone);
  for (const Value& pod : spots_[node].pods) state += "," + std::string(api::uid_of(pod));
  auto taken = [&](const std::string& name) {
    return std::any_of(view_.pods.begin(), view_.pods.end(),
                       [&](const Value& pod) { return api::name_of(pod) == name; });
  };
  int draw = 0;
  std::string name = drawn_name(api::name_of(set_), state, draw);
  while (taken(name)) name = drawn_name(api::name_of(set_), state, ++draw);
  Action action = create(kPods, make_pod(set_, node, history_.hash, name));
  action.succeeded(set_, kNormal, "SuccessfulCreate", "Created pod: " + name);
  action.failed(set_, kWarning, "FailedCreate", "Error creating: ");
  out_.plan.add(std::move(action));
}

void Planner::carry_out() {
  for (std::size_t i = 0; i < lacking_.size() && i < kMostAtOnce; ++i) create_on(lacking_[i]);
  for (std::size_t i = 0; i < doomed_.size() && i < kMostAtOnce; ++i) {
    const Value& pod = doomed_[i];
    Action action = remove(kPods, pod);
    action.succeeded(set_, kNormal, "SuccessfulDelete", "Deleted pod: " + std::string(api::name_of(pod)));
    action.failed(set_, kWarning, "FailedDelete", "Error deleting: ");
    out_.plan.add(std::move(action));
  }
}

void Planner::report() {
  int desired = 0, current = 0, misplaced = 0, ready = 0, updated = 0, available = 0;
  for (const auto& [name, spot] : spots_) {
    if (spot.node.is_null()) continue;
    if (!spot.fitness.run) {
      misplaced += spot.pods.empty() ? 0 : 1;
      continue;
    }
    ++desired;
    if (spot.pods.empty()) continue;
    ++current;
    const Value& first = spot.pods.front();
    ready += api::is_pod_ready(first) ? 1 : 0;
    available += is_available(first) ? 1 : 0;
    updated += is_updated(first) ? 1 : 0;
  }
  const Value& old = set_["status"];
  Value change = Value::object();
  auto number = [&](const char* field, std::int64_t value) {
    if (old[field].as_int() != value) change.set(field, value);
  };
  number("desiredNumberScheduled", desired);
  number("currentNumberScheduled", current);
  number("numberMisscheduled", misplaced);
  number("numberReady", ready);
  number("updatedNumberScheduled", updated);
  number("numberAvailable", available);
  number("numberUnavailable", desired - available);
  number("observedGeneration", std::max(set_["metadata"]["generation"].as_int(), old["observedGeneration"].as_int()));
  if (change.empty()) return;
  const Action write = patch_status(kDaemonSets, set_, Value::object({{"status", std::move(change)}}), true);
  out_.plan.then.push_back(write);
  out_.plan.otherwise.push_back(write);
}

}  // namespace

Decision plan_set(const View& view, Time now) {
  if (view.set.is_null()) return {};
  return Planner(view, now).run();
}

}  // namespace berth::controllers::daemonset
