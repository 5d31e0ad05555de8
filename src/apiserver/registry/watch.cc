// Watches of a collection: the store's events through the selectors of one request.
#include <algorithm>
#include <deque>
#include <optional>
#include <utility>

#include "api/status.h"
#include "apiserver/registry/conversion.h"
#include "apiserver/registry/resource_version.h"
#include "apiserver/registry/selectors.h"
#include "apiserver/registry/state.h"
#include "base/text.h"

namespace berth::apiserver::registry {
namespace {

class CollectionWatch final : public ObjectWatch,
                              public store::WatchSink,
                              public std::enable_shared_from_this<CollectionWatch> {
 public:
  CollectionWatch(std::shared_ptr<Registry::State> state, const api::schema::Kind& kind, std::string prefix,
                  Selection selection, registry::ObjectWatchSink* sink)
      : state_(std::move(state)),
        kind_(kind),
        prefix_(std::move(prefix)),
        selection_(std::move(selection)),
        sink_(sink) {}

  Status start(store::Revision after) {
    Result<std::unique_ptr<store::Watch>> watch = state_->store.watch(prefix_, after, this);
    if (!watch.ok()) return watch.error();
    watch_ = std::move(*watch);
    return ok_status();
  }

  // Starts with the state at `revision`. The store is watched when the peer has taken all of it.
  void start_with_state(store::Revision revision, bool mark_end) {
    initial_ = Initial{revision, {}, mark_end};
    state_->runtime.post([weak = weak_from_this()] {
      if (auto self = weak.lock()) self->flush();
    });
  }

  void end_with(const Error& why) {
    state_->runtime.post([weak = weak_from_this(), why] {
      if (auto self = weak.lock(); self && !self->ended_) self->on_end(why);
    });
  }

  void bookmark_regularly() {
    // Upstream sends about one a minute.
    timer_ = state_->runtime.after(60s, [weak = weak_from_this()] {
      auto self = weak.lock();
      if (!self || self->ended_) return;
      if (self->watch_) self->watch_->bookmark();
      self->bookmark_regularly();
    });
  }

  void close() {
    ended_ = true;
    watch_.reset();
    if (timer_ != 0) state_->runtime.cancel(timer_);
    timer_ = 0;
  }

  void resume() override {
    paused_ = false;
    resumed_ = true;
    flush();
  }

  bool on_events(const std::vector<store::EventPtr>& events) override {
    for (const store::EventPtr& event : events) enqueue(*event);
    flush();
    return !paused_;
  }
  void on_progress(store::Revision revision) override {
    waiting_.push_back({"", nullptr, revision});
    flush();
  }
  void on_end(const Error& error) override {
    ended_ = true;
    registry::ObjectWatchSink* sink = sink_;
    sink->on_end(error);
  }

 private:
  // Records of the initial state that are read at a time: more each time that the peer has taken all.
  static constexpr std::size_t kPage = 256, kLargestPage = 4096;

  struct Pending {
    std::string_view type;  // empty: a bookmark
    store::RecordPtr record;
    store::Revision revision;
  };
  // What of the initial state is still to be delivered. A peer that does not read costs no more than this.
  struct Initial {
    store::Revision revision;  // moves on while nothing changes that is watched
    std::string last;          // the last key that was delivered or does not match
    bool mark_end;
  };

  // The record of the DELETED event for an object that no longer matches the selection: its last matching version, at
  // the revision of the write that changed it.
  static store::RecordPtr last_matching(const store::Event& event) {
    Value last = event.previous->value;
    last.mut("metadata").set("resourceVersion", std::to_string(event.revision));
    return std::make_shared<const store::Record>(event.previous->key, std::move(last), event.previous->create_revision,
                                                 event.revision);
  }

  void enqueue(const store::Event& event) {
    bool now = event.type != store::EventType::kDeleted && selection_.matches(from_storage(kind_, event.record->value));
    bool before = event.previous && selection_.matches(from_storage(kind_, event.previous->value));
    if (event.type == store::EventType::kDeleted) {
      // The last value decides, which is what the previous version was.
      before = selection_.matches(from_storage(kind_, event.previous ? event.previous->value : event.record->value));
    }
    if (!now && !before) return;
    std::string_view type = !before ? "ADDED" : now ? "MODIFIED" : "DELETED";
    bool left = !now && event.type != store::EventType::kDeleted;
    waiting_.push_back({type, view_of(kind_, left ? last_matching(event) : event.record), 0});
  }

  void send(std::string_view type, const store::RecordPtr& record) {
    resumed_ = false;
    if (!sink_->on_event(type, record)) paused_ = !resumed_;
  }

  void flush() {
    if (flushing_) return;  // called by the sink: the loops of the outer flush() continue
    auto keep = shared_from_this();
    flushing_ = true;
    for (std::size_t page = kPage; initial_ && !paused_ && !ended_; page = std::min(2 * page, kLargestPage))
      send_page(page);
    while (!waiting_.empty() && !paused_ && !ended_) {
      Pending next = std::move(waiting_.front());
      waiting_.pop_front();
      if (next.type.empty()) {
        sink_->on_bookmark(next.revision, false);
      } else {
        send(next.type, next.record);
      }
    }
    flushing_ = false;
    if (!paused_ && !ended_ && waiting_.empty() && watch_) watch_->resume();
  }

  // Where the peer stops in the middle of a page, the rest is read again when it goes on.
  void send_page(std::size_t limit) {
    // No later event is of this watch's prefix: read from the newest revision, whose history is not compacted yet.
    if (state_->store.last_change(prefix_) <= initial_->revision) initial_->revision = state_->store.revision();
    Result<store::Listing> page =
        state_->store.list_at(initial_->revision, prefix_, limit, initial_->last, store::RemainingCount::kNotCounted);
    if (!page.ok()) return fell_behind(initial_->revision);
    for (const store::RecordPtr& record : page->records) {
      initial_->last = record->key;
      if (!selection_.matches(from_storage(kind_, record->value))) continue;
      send("ADDED", view_of(kind_, record));
      if (paused_ || ended_) return;
    }
    if (page->more) return;
    const Initial through = *std::exchange(initial_, std::nullopt);
    if (through.mark_end) sink_->on_bookmark(through.revision, true);
    if (!ended_ && !start(through.revision).ok()) fell_behind(through.revision);
  }

  // Ends with kExpired, in the words of a watch of the store (WatchHub).
  void fell_behind(store::Revision seen) {
    on_end(error(Code::kExpired,
                 "the watch fell behind: events after revision " + std::to_string(seen) + " have been compacted"));
  }

  std::shared_ptr<Registry::State> state_;
  const api::schema::Kind& kind_;
  const std::string prefix_;
  Selection selection_;
  registry::ObjectWatchSink* sink_;
  std::unique_ptr<store::Watch> watch_;
  std::optional<Initial> initial_;
  std::deque<Pending> waiting_;
  TimerId timer_ = 0;
  bool paused_ = false, ended_ = false;
  bool flushing_ = false, resumed_ = false;
};

// The caller's handle: destroying it ends the watch, also from inside one of its own callbacks.
class Handle final : public ObjectWatch {
 public:
  explicit Handle(std::shared_ptr<CollectionWatch> watch) : watch_(std::move(watch)) {}
  ~Handle() override { watch_->close(); }
  void resume() override { watch_->resume(); }

 private:
  std::shared_ptr<CollectionWatch> watch_;
};

}  // namespace

Result<std::unique_ptr<ObjectWatch>> Registry::watch(const Call& call, const WatchCall& options,
                                                     ObjectWatchSink* sink) {
  BERTH_ASSIGN(Selection selection, parse_selection(*call.kind, options.label_selector, options.field_selector));
  std::string prefix = store_key(*call.kind, call.ns, "");
  bool from_now = options.resource_version.empty() || options.resource_version == "0";
  store::Revision after = 0;
  if (!from_now) {
    BERTH_ASSIGN(after, parse_resource_version(options.resource_version));
  }
  bool with_state = options.send_initial_events.value_or(from_now);
  const store::Revision asked = after, now = state_->store.revision();
  if (from_now || with_state) after = state_->store.revision();
  auto watch = std::make_shared<CollectionWatch>(state_, *call.kind, std::move(prefix), std::move(selection), sink);
  if (with_state && asked > now) {
    // There is no such state yet: the watch ends with that error at once, as a list of that version is refused.
    watch->end_with(too_large_version(asked, now));
  } else if (with_state) {
    watch->start_with_state(after, options.send_initial_events.value_or(false) && options.bookmarks);
  } else {
    Status started = watch->start(after);
    if (started.failed_with(Code::kExpired)) {
      return error(Code::kExpired, "too old resource version: " + options.resource_version + " (" +
                                       std::to_string(state_->store.compacted() + 1) + ")");
    }
    if (!started.ok()) return started.error();
  }
  if (options.bookmarks) watch->bookmark_regularly();
  return std::unique_ptr<ObjectWatch>(std::make_unique<Handle>(std::move(watch)));
}

}  // namespace berth::apiserver::registry
