#include "sim/sim_runtime.h"

#include <algorithm>

#include "base/check.h"

namespace berth::sim {

World::World(std::uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u + 0x632be59bd9b4e019u) {}

World::~World() {
  BERTH_CHECK(lanes_.empty(), "a lane outlives its world");
  over_ = true;
  timers_.clear();
}

std::shared_ptr<Lane> World::make_lane(std::string name) {
  auto lane = std::make_shared<Lane>(*this, std::move(name));
  lanes_.push_back(lane.get());
  return lane;
}

Time World::now() const {
  constexpr auto kStart = std::chrono::hours(24 * 20'455);  // early in 2026
  return Time(kStart) + at_;
}

// splitmix64
std::uint64_t World::random() {
  std::uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

bool World::chance(double probability) {
  if (probability <= 0) return false;
  return static_cast<double>(random() >> 11) * 0x1.0p-53 < probability;
}

Duration World::between(Duration low, Duration high) {
  if (high <= low) return low;
  return low + Duration(static_cast<std::int64_t>(below(static_cast<std::uint64_t>((high - low).count()))));
}

TimerId World::arm(Duration delay, Timer timer) {
  if (over_) return 0;
  const TimerId id = next_timer_++;
  const Key key{at_ + std::max(delay, Duration::zero()), random(), id};
  by_id_[id] = key;
  timers_.emplace(key, std::move(timer));
  return id;
}

void World::disarm(TimerId id) {
  auto found = by_id_.find(id);
  if (found == by_id_.end()) return;
  auto timer = timers_.extract(found->second);
  by_id_.erase(found);
}

void World::forget(Lane* lane) {
  std::erase(lanes_, lane);
  std::vector<Task> dropped;  // destroyed when the maps are consistent again
  for (auto at = timers_.begin(); at != timers_.end();) {
    if (at->second.lane != lane) {
      ++at;
      continue;
    }
    dropped.push_back(std::move(at->second.task));
    by_id_.erase(at->first.id);
    at = timers_.erase(at);
  }
}

void World::send(const std::weak_ptr<Lane>& to, Duration delay, Task task) {
  arm(delay, {nullptr, to, std::move(task)});
}

bool World::step() {
  std::size_t ready = 0;
  for (const Lane* lane : lanes_) ready += lane->ready_.empty() ? 0 : 1;
  if (ready > 0) {
    std::size_t chosen = ready == 1 ? 0 : below(ready);
    for (Lane* lane : lanes_) {
      if (lane->ready_.empty() || chosen-- > 0) continue;
      Task task = std::move(lane->ready_.front());
      lane->ready_.pop_front();
      ++steps_;
      task();
      return true;
    }
  }
  if (timers_.empty()) return false;
  auto due = timers_.extract(timers_.begin());
  by_id_.erase(due.key().id);
  at_ = due.key().at;
  Timer& timer = due.mapped();
  ++steps_;
  if (timer.lane) {
    timer.task();
  } else if (auto lane = timer.to.lock()) {
    lane->post(std::move(timer.task));
  }
  return true;
}

void World::run_for(Duration time) {
  const Duration end = at_ + time;
  while (true) {
    const bool ready =
        std::any_of(lanes_.begin(), lanes_.end(), [](const Lane* lane) { return !lane->ready_.empty(); });
    if (!ready && (timers_.empty() || timers_.begin()->first.at > end)) break;
    step();
  }
  at_ = std::max(at_, end);
}

Lane::~Lane() {
  world_.forget(this);
  // Objects owned by tasks may cancel subscriptions when destroyed: destroy them while the lane is intact.
  auto tasks = std::move(ready_);
  tasks.clear();
}

void Lane::offload(Task work, Task done) {
  // The pool is delayed; the work itself takes no time.
  after(world_.between(1ms, 20ms), [work = std::move(work), done = std::move(done)] {
    work();
    done();
  });
}

}  // namespace berth::sim
