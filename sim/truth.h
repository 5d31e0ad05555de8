#pragma once
// Truth: what really happened, observed without faults: every change of every object in order, and the pods' processes.
// The checkers' only source.

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "client/client.h"
#include "sim/sim_runtime.h"

namespace berth::sim {

struct ObjectChange {
  const api::Resource& resource;
  const Value& before;  // null: added
  const Value& after;   // null: deleted
};

// True if two versions of a set are equal in spec and in annotations below berth.dev/.
bool asks_the_same(const Value& set, const Value& other);

class Checker {
 public:
  virtual ~Checker() = default;
  virtual std::string name() const = 0;
  virtual void on_change(const ObjectChange& change) {}
  // A pod's process started or ended on a node. `pod`: "namespace/name".
  virtual void on_process(const std::string& pod, const std::string& uid, const std::string& node, bool alive) {}
  // All faults are over and nothing was written for a while: the state must equal the desired state.
  virtual void at_rest() {}
};

// The history of one pod name, as far as ordering needs it. Times are World::elapsed().
struct PodHistory {
  std::string uid;   // of the present incarnation; empty: none
  Duration since{};  // when the pod was created
  bool ready = false, terminating = false;
  Duration ready_since{}, unready_since{}, terminating_since{}, gone_since{};
  Duration owned_since{};  // when it got its present controller
};

class Truth {
 public:
  explicit Truth(World& world);
  ~Truth();

  // Called when a server has started. `deleted`: uids whose deletion was written when the earlier one died. All other
  // objects ever seen must exist, and not be older: a state that watches have delivered is durable.
  void connect(client::Client& client, const std::set<std::string>& deleted);
  void disconnect();

  void add(std::unique_ptr<Checker> checker) { checkers_.push_back(std::move(checker)); }
  void process(const std::string& pod, const std::string& uid, const std::string& node, bool alive);
  void at_rest();
  // The user requested the deletion of this pod or claim.
  void excuse_disruption(const std::string& uid) { excused_[uid] = true; }
  bool excused(std::string_view uid) const { return excused_.count(std::string(uid)) > 0; }

  // Pods that never become ready: their sets do not reach the desired state.
  void set_unrecoverable(std::function<bool(const Value& pod)> is_unrecoverable) {
    unrecoverable_ = std::move(is_unrecoverable);
  }
  bool is_unrecoverable(const Value& pod) const { return unrecoverable_ && unrecoverable_(pod); }

  const Value& get(const api::Resource& resource, const api::Name& name) const;
  const std::map<api::Name, Value>& all(const api::Resource& resource) const;
  const PodHistory& history(const api::Name& pod) const;
  // When the set's desired state last changed: a field of its spec or options other than the templates; or a set of
  // that name was created or deleted, except for the very first one.
  Duration expectation_changed_at(const api::Name& set) const;
  // The same, including the template and its overrides.
  Duration spec_changed_at(const api::Name& set) const;

  // How long a cache may lag: a decision is wrong only if it was wrong during all of this time.
  Duration slack() const { return slack_; }
  void set_slack(Duration slack) { slack_ = slack; }

  // One controller process and no faults: there are no other views, and no event is lost.
  bool alone() const { return alone_; }
  void set_alone(bool alone) { alone_ = alone; }

  // Prints every change, process and violation as it happens, to debug one seed.
  void set_trace(bool on) { trace_ = on; }
  void trace(const std::string& line) const;
  void violation(const std::string& checker, const std::string& what);
  const std::vector<std::string>& violations() const { return violations_; }
  World& world() { return world_; }
  std::uint64_t changes() const { return changes_; }
  std::uint64_t changes_but_events() const { return changes_ - events_; }
  std::string last_change() const { return last_change_; }
  std::string last_write() const { return last_write_; }  // without events

 private:
  struct Follower;
  void take_lists(const std::set<std::string>& deleted);
  void changed(const api::Resource& resource, std::string_view type, const Value& object);
  void follow_pod(const Value& before, const Value& after);

  World& world_;
  std::map<api::Resource, std::map<api::Name, Value>> objects_;
  std::map<api::Name, PodHistory> pods_;
  std::map<api::Name, Duration> wish_changed_, spec_changed_;
  std::map<std::string, bool> excused_;
  std::vector<std::shared_ptr<Follower>> followers_;
  std::vector<std::unique_ptr<Checker>> checkers_;
  std::vector<std::string> violations_;
  std::function<bool(const Value& pod)> unrecoverable_;
  Duration slack_ = 30s;
  bool trace_ = false, alone_ = false;
  std::uint64_t changes_ = 0, events_ = 0;
  std::string last_change_, last_write_;
};

}  // namespace berth::sim
