#include "store/watch_hub.h"

#include <algorithm>

#include "base/metrics.h"

namespace berth::store {

namespace {

constexpr std::size_t kScanPerTurn = 4096;   // history events that one watch reads per task
constexpr std::size_t kEventsPerTurn = 512;  // events that one watch is sent per task

metrics::Gauge& watch_gauge() {
  static metrics::Gauge& gauge = metrics::gauge("berth_store_watches", "Open watches on the store.");
  return gauge;
}

}  // namespace

struct WatchHub::Watcher : std::enable_shared_from_this<Watcher> {
  enum class State { kSynced, kBehind, kStopped, kEnded };
  std::string prefix;
  WatchSink* sink = nullptr;
  WatchHub* hub = nullptr;  // null once the hub or the handle is destroyed
  State state = State::kBehind;
  Revision delivered_up_to = 0;  // every matching event up to here was delivered
  bool wants_bookmark = false;
  bool in_callback = false;
  bool resumed_in_callback = false;
  bool pump_posted = false;
  std::vector<EventPtr> batch;  // collected by deliver()
};

class WatchHub::Handle final : public Watch {
 public:
  explicit Handle(WatcherPtr watcher) : watcher_(std::move(watcher)) {}
  ~Handle() override {
    if (watcher_->hub) watcher_->hub->close(watcher_);
  }
  void resume() override {
    if (!watcher_->hub) return;
    if (watcher_->in_callback) {
      watcher_->resumed_in_callback = true;
    } else if (watcher_->state == Watcher::State::kStopped) {
      watcher_->state = Watcher::State::kBehind;
      watcher_->hub->schedule(watcher_);
    }
  }
  void bookmark() override {
    if (!watcher_->hub) return;
    watcher_->wants_bookmark = true;
    watcher_->hub->schedule(watcher_);
  }

 private:
  WatcherPtr watcher_;
};

WatchHub::WatchHub(Runtime& runtime, const VersionedMap& map) : runtime_(runtime), map_(map) {}

WatchHub::~WatchHub() {
  lifetime_.end();
  watch_gauge().add(-static_cast<std::int64_t>(all_.size()));
  for (const WatcherPtr& watcher : all_) watcher->hub = nullptr;
}

Result<std::unique_ptr<Watch>> WatchHub::add(std::string prefix, Revision after, WatchSink* sink) {
  if (after < map_.compacted()) {
    return error(Code::kExpired, "revision " + std::to_string(after) + " has been compacted: the oldest kept is " +
                                     std::to_string(map_.compacted()));
  }
  auto watcher = std::make_shared<Watcher>();
  watcher->prefix = std::move(prefix);
  watcher->sink = sink;
  watcher->hub = this;
  watcher->delivered_up_to = after;
  all_.insert(watcher);
  watch_gauge().add(1);
  if (after >= map_.revision()) {
    watcher->state = Watcher::State::kSynced;
    index(watcher.get());
  } else {
    schedule(watcher);
  }
  return std::unique_ptr<Watch>(std::make_unique<Handle>(std::move(watcher)));
}

void WatchHub::publish(EventPtr event) {
  undelivered_.push_back(std::move(event));
  IoHelper* helper = runtime_.io_helper();
  // A posted delivery does not wait for one on a helper: that thread may send a long answer first.
  bool& in_progress = helper ? delivery_on_helper_ : delivery_posted_;
  if (in_progress || delivery_posted_) return;
  in_progress = true;
  Task task = [this, alive = lifetime_.guard(), &in_progress] {
    if (!alive) return;
    in_progress = false;
    deliver();
  };
  if (!helper) return runtime_.post(std::move(task));
  // The helper sends its answers first, among them the answer to this event's write: its client waits, the watches do
  // not.
  helper->add_work([&runtime = runtime_, helper, task = std::move(task)]() mutable {
    runtime.run_or_post(std::move(task), helper);
    return true;
  });
}

void WatchHub::deliver() {
  if (undelivered_.empty()) return;
  std::vector<EventPtr> events = std::move(undelivered_);
  undelivered_.clear();
  std::vector<WatcherPtr> affected;
  for (const EventPtr& event : events) {
    // Find all watched prefixes of the key: iterate backwards over the sorted prefixes; at one that is no prefix of the
    // key, continue with those not longer than the common part.
    std::string_view rest = event->record->key;
    auto it = synced_.upper_bound(rest);
    while (it != synced_.begin()) {
      --it;
      if (!rest.starts_with(it->first)) {
        auto differ = std::mismatch(rest.begin(), rest.end(), it->first.begin(), it->first.end());
        rest = rest.substr(0, static_cast<std::size_t>(differ.first - rest.begin()));
        it = synced_.upper_bound(rest);
        continue;
      }
      for (Watcher* watcher : it->second) {
        if (event->revision <= watcher->delivered_up_to) continue;
        if (watcher->batch.empty()) affected.push_back(watcher->shared_from_this());
        watcher->batch.push_back(event);
      }
    }
  }
  const Revision last = events.back()->revision;
  const auto alive = lifetime_.guard();
  // Set delivered_up_to of all watches before the first callback: a callback may resume or bookmark another watch,
  // whose batch reaches up to `last`.
  for (const WatcherPtr& watcher : affected) watcher->delivered_up_to = std::max(watcher->delivered_up_to, last);
  for (const WatcherPtr& watcher : affected) {
    std::vector<EventPtr> batch = std::move(watcher->batch);
    watcher->batch.clear();
    if (watcher->hub && !deliver_to(watcher, batch)) return;
  }
}

bool WatchHub::deliver_to(const WatcherPtr& watcher, const std::vector<EventPtr>& events) {
  const auto alive = lifetime_.guard();
  watcher->in_callback = true;
  watcher->resumed_in_callback = false;
  bool more = watcher->sink->on_events(events);
  if (!alive) return false;
  watcher->in_callback = false;
  if (!watcher->hub || more) return true;
  if (watcher->state == Watcher::State::kSynced) unindex(watcher.get());
  watcher->state = watcher->resumed_in_callback ? Watcher::State::kBehind : Watcher::State::kStopped;
  if (watcher->resumed_in_callback) schedule(watcher);
  return true;
}

void WatchHub::schedule(const WatcherPtr& watcher) {
  if (watcher->pump_posted) return;
  watcher->pump_posted = true;
  runtime_.post([weak = std::weak_ptr<Watcher>(watcher)] {
    WatcherPtr watcher = weak.lock();
    if (!watcher) return;
    watcher->pump_posted = false;
    if (watcher->hub) watcher->hub->pump(watcher);
  });
}

void WatchHub::pump(const WatcherPtr& watcher) {
  const auto alive = lifetime_.guard();
  if (watcher->state == Watcher::State::kSynced) {
    deliver();  // a bookmark comes after visible events
    if (!alive || !watcher->hub) return;
  }
  if (watcher->state == Watcher::State::kBehind) {
    catch_up(watcher);
    if (!alive || !watcher->hub) return;
  }
  if (watcher->state == Watcher::State::kSynced && watcher->wants_bookmark) {
    watcher->wants_bookmark = false;
    // Visible but undelivered events were added by callbacks of this task.
    Revision revision = undelivered_.empty() ? map_.revision() : undelivered_.front()->revision - 1;
    watcher->sink->on_progress(std::max(revision, watcher->delivered_up_to));
  }
}

void WatchHub::catch_up(const WatcherPtr& watcher) {
  if (watcher->delivered_up_to < map_.compacted()) return expire(watcher);
  std::vector<EventPtr> events;
  std::size_t at = map_.first_after(watcher->delivered_up_to);
  std::size_t stop = std::min(map_.history_size(), at + kScanPerTurn);
  for (; at < stop && events.size() < kEventsPerTurn; ++at) {
    const EventPtr& event = map_.history(at);
    watcher->delivered_up_to = event->revision;
    if (event->record->key.starts_with(watcher->prefix)) events.push_back(event);
  }
  if (at == map_.history_size()) {
    watcher->delivered_up_to = std::max(watcher->delivered_up_to, map_.revision());
    watcher->state = Watcher::State::kSynced;
    index(watcher.get());
  }
  if (!events.empty() && !deliver_to(watcher, events)) return;
  if (watcher->hub && watcher->state == Watcher::State::kBehind) schedule(watcher);
}

void WatchHub::expire(const WatcherPtr& watcher) {
  watcher->state = Watcher::State::kEnded;
  watcher->sink->on_end(error(Code::kExpired, "the watch fell behind: events after revision " +
                                                  std::to_string(watcher->delivered_up_to) + " have been compacted"));
}

void WatchHub::index(Watcher* watcher) { synced_[watcher->prefix].push_back(watcher); }

void WatchHub::unindex(Watcher* watcher) {
  auto it = synced_.find(watcher->prefix);
  std::erase(it->second, watcher);
  if (it->second.empty()) synced_.erase(it);
}

void WatchHub::close(const WatcherPtr& watcher) {
  if (watcher->state == Watcher::State::kSynced) unindex(watcher.get());
  watcher->hub = nullptr;
  all_.erase(watcher);
  watch_gauge().add(-1);
}

}  // namespace berth::store
