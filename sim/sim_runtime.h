#pragma once
// World: simulated time and chance, shared by several simulated processes. Lane: one process's Runtime.
//
// Everything runs on the calling thread. A lane runs its own tasks in the order in which they were posted, as a Loop
// does; which lane runs next, and which of several timers due at the same time fires first, is drawn from the seed. One
// seed therefore gives one history, another seed another interleaving. Time advances only when no lane has a task.

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/runtime.h"

namespace berth::sim {

class Lane;

class World {
 public:
  explicit World(std::uint64_t seed);
  ~World();
  World(const World&) = delete;

  // A process's loop. Releasing the last reference kills the process: its tasks and timers are destroyed without
  // running. Must not happen inside one of its own tasks.
  std::shared_ptr<Lane> make_lane(std::string name);

  // A message to a process that may be dead on arrival: then the task is destroyed without running. Objects owned by a
  // task may send further messages when destroyed; a lost answer is detected that way.
  void send(const std::weak_ptr<Lane>& to, Duration delay, Task task);

  Duration elapsed() const { return at_; }
  Time now() const;

  // Runs one task, or advances time to the next timer and runs that. False if there is neither.
  bool step();
  void run_for(Duration time);
  std::uint64_t steps() const { return steps_; }

  // --- Chance
  std::uint64_t random();
  std::uint64_t below(std::uint64_t limit) { return limit ? random() % limit : 0; }
  bool chance(double probability);
  Duration between(Duration low, Duration high);

 private:
  friend class Lane;
  struct Key {
    Duration at;
    std::uint64_t tie;  // drawn: simultaneous timers fire in random order
    TimerId id;
    auto operator<=>(const Key&) const = default;
  };
  struct Timer {
    Lane* lane;  // null: a message
    std::weak_ptr<Lane> to;
    Task task;
  };
  TimerId arm(Duration delay, Timer timer);
  void disarm(TimerId id);
  void forget(Lane* lane);

  std::uint64_t state_;
  Duration at_{};
  TimerId next_timer_ = 1;
  std::uint64_t steps_ = 0;
  std::map<Key, Timer> timers_;
  std::unordered_map<TimerId, Key> by_id_;
  std::vector<Lane*> lanes_;
  bool over_ = false;
};

class Lane final : public Runtime {
 public:
  Lane(World& world, std::string name) : world_(world), name_(std::move(name)) {}
  ~Lane() override;
  const std::string& name() const { return name_; }
  bool idle() const { return ready_.empty(); }

  Time now() const override { return world_.now(); }
  Duration monotonic() const override { return world_.elapsed(); }
  void post(Task task) override { ready_.push_back(std::move(task)); }
  TimerId after(Duration delay, Task task) override { return world_.arm(delay, {this, {}, std::move(task)}); }
  void cancel(TimerId id) override { world_.disarm(id); }
  void offload(Task work, Task done) override;
  std::uint64_t random() override { return world_.random(); }

 private:
  friend class World;
  World& world_;
  std::string name_;
  std::deque<Task> ready_;
};

}  // namespace berth::sim
