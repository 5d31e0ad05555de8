#pragma once
// Truth: what really happened, seen past all faults: every change of every object in order, and which pods' processes
// really run. Checkers learn everything from here.

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "client/client.h"
#include "sim/sim_runtime.h"

namespace berth::sim {

struct Change {
  const api::Resource& resource;
  const Value& before;  // null: added
  const Value& after;   // null: deleted
};

// Two versions of a set ask for the same: by their spec, and by their annotations below berth.dev/.
bool asks_the_same(const Value& set, const Value& other);

class Checker {
 public:
  virtual ~Checker() = default;
  virtual std::string name() const = 0;
  virtual void on_change(const Change& change) {}
  // A pod's process started or ended on a node. `pod` is "namespace/name".
  virtual void on_process(const std::string& pod, const std::string& uid, const std::string& node, bool alive) {}
  // All faults are over and nothing has moved for a while: everything must be as it was asked for.
  virtual void at_rest() {}
};

// The life of one pod name, as far as ordering needs it. Times are World::elapsed.
struct PodHistory {
  std::string uid;   // of the present incarnation; empty: there is none
  Duration since{};  // it exists
  bool ready = false, terminating = false;
  Duration ready_since{}, unready_since{}, terminating_since{}, gone_since{};
  Duration owned_since{};  // has the controller it has
};

class Truth {
 public:
  explicit Truth(World& world);
  ~Truth();

  // A server has come up. `deleted`: uids whose deletion reached the disk when the one before died. Everything else
  // that was ever seen must be there, and not older: a state that watchers saw is durable.
  void connect(client::Client& client, const std::set<std::string>& deleted);
  void disconnect();

  void add(std::unique_ptr<Checker> checker) { checkers_.push_back(std::move(checker)); }
  void process(const std::string& pod, const std::string& uid, const std::string& node, bool alive);
  void at_rest();
  // The user asked for this pod's or claim's deletion.
  void excuse(const std::string& uid) { excused_[uid] = true; }
  bool excused(std::string_view uid) const { return excused_.count(std::string(uid)) > 0; }

  // Pods that never become ready: their sets do not come to what was asked for.
  void set_hopeless(std::function<bool(const Value& pod)> hopeless) { hopeless_ = std::move(hopeless); }
  bool hopeless(const Value& pod) const { return hopeless_ && hopeless_(pod); }

  const Value& get(const api::Resource& resource, const api::Name& name) const;
  const std::map<api::Name, Value>& all(const api::Resource& resource) const;
  const PodHistory& history(const api::Name& pod) const;
  // When the set's wishes last changed: anything of its spec and options but the templates; or a set of that name came
  // or went, other than the very first one.
  Duration wish_changed(const api::Name& set) const;
  // The same, of the template and of overrides of it too.
  Duration spec_changed(const api::Name& set) const;

  // How far back a cache may honestly lag: a decision is wrong only if it was wrong all this time.
  Duration slack() const { return slack_; }
  void set_slack(Duration slack) { slack_ = slack; }

  // One controller process and no faults: nobody else's view is in the way, and no event gets lost.
  bool alone() const { return alone_; }
  void set_alone(bool alone) { alone_ = alone; }

  // Prints every change, process and violation as it happens, for a look at one seed.
  void set_trace(bool on) { trace_ = on; }
  void trace(const std::string& line) const;
  void violation(const std::string& checker, const std::string& what);
  const std::vector<std::string>& violations() const { return violations_; }
  World& world() { return world_; }
  std::uint64_t changes() const { return changes_; }
  std::uint64_t changes_but_events() const { return changes_ - events_; }
  std::string last_change() const { return last_change_; }
  std::string last_write() const { return last_write_; }  // other than of an event

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
  std::function<bool(const Value& pod)> hopeless_;
  Duration slack_ = 30s;
  bool trace_ = false, alone_ = false;
  std::uint64_t changes_ = 0, events_ = 0;
  std::string last_change_, last_write_;
};

}  // namespace berth::sim
