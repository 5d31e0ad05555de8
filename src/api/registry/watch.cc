// Watches of a collection: the store's events through the selectors of one request.
#include <deque>

#include "api/registry/state.h"
#include "api/status.h"
#include "base/text.h"

namespace berth::registry {
namespace {

class CollectionWatch final : public WatchHandle, public store::WatchSink, public std::enable_shared_from_this<CollectionWatch> {
 public:
  CollectionWatch(std::shared_ptr<Registry::State> state, const schema::Kind& kind, Selection selection, registry::WatchSink* sink)
      : state_(std::move(state)), kind_(kind), selection_(std::move(selection)), sink_(sink) {}

  Status start(std::string prefix, store::Revision after) {
    Result<std::unique_ptr<store::Watch>> watch = state_->store.watch(std::move(prefix), after, this);
    if (!watch.ok()) return watch.error();
    watch_ = std::move(*watch);
    return ok_status();
  }

  // The present state, delivered before anything that happens later.
  void begin_with(std::vector<store::RecordPtr> records, store::Revision revision, bool mark_end) {
    for (store::RecordPtr& record : records) waiting_.push_back({"ADDED", std::move(record), 0, false});
    if (mark_end) waiting_.push_back({"", nullptr, revision, true});
    state_->runtime.post([weak = weak_from_this()] {
      if (auto self = weak.lock()) self->flush();
    });
  }

  void bookmark_regularly() {
    // Upstream sends about one a minute.
    timer_ = state_->runtime.after(60s, [weak = weak_from_this()] {
      auto self = weak.lock();
      if (!self || self->ended_) return;
      self->watch_->bookmark();
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
    flush();
  }

  bool on_events(const std::vector<store::EventPtr>& events) override {
    for (const store::EventPtr& event : events) take(*event);
    flush();
    return !paused_;
  }
  void on_progress(store::Revision revision) override {
    waiting_.push_back({"", nullptr, revision, false});
    flush();
  }
  void on_end(const Error& error) override {
    ended_ = true;
    registry::WatchSink* sink = sink_;
    sink->on_end(error);
  }

 private:
  struct Pending {
    std::string_view type;     // empty: a bookmark
    store::RecordPtr record;
    store::Revision revision;
    bool initial_end;
  };

  // What leaves a selection is shown as it last was in there, at the revision of the write that took it out.
  static store::RecordPtr departed(const store::Event& event) {
    Value last = event.previous->value;
    last.mut("metadata").set("resourceVersion", std::to_string(event.revision));
    return std::make_shared<const store::Record>(event.previous->key, std::move(last), event.previous->create_revision, event.revision);
  }

  void take(const store::Event& event) {
    bool now = event.type != store::EventType::kDeleted && selection_.matches(from_storage(kind_, event.record->value));
    bool before = event.previous && selection_.matches(from_storage(kind_, event.previous->value));
    if (event.type == store::EventType::kDeleted) {
      // The last value decides, which is what the previous version was.
      before = selection_.matches(from_storage(kind_, event.previous ? event.previous->value : event.record->value));
    }
    if (!now && !before) return;
    std::string_view type = !before ? "ADDED" : now ? "MODIFIED" : "DELETED";
    bool left = !now && event.type != store::EventType::kDeleted;
    waiting_.push_back({type, view_of(kind_, left ? departed(event) : event.record), 0, false});
  }

  void flush() {
    auto keep = shared_from_this();
    while (!waiting_.empty() && !paused_ && !ended_) {
      Pending next = std::move(waiting_.front());
      waiting_.pop_front();
      if (next.type.empty()) {
        sink_->on_bookmark(next.revision, next.initial_end);
      } else if (!sink_->on_event(next.type, next.record)) {
        paused_ = true;
      }
    }
    if (!paused_ && !ended_ && waiting_.empty() && watch_) watch_->resume();
  }

  std::shared_ptr<Registry::State> state_;
  const schema::Kind& kind_;
  Selection selection_;
  registry::WatchSink* sink_;
  std::unique_ptr<store::Watch> watch_;
  std::deque<Pending> waiting_;
  TimerId timer_ = 0;
  bool paused_ = false, ended_ = false;
};

// The caller's handle: destroying it ends the watch, also from inside one of its own callbacks.
class Handle final : public WatchHandle {
 public:
  explicit Handle(std::shared_ptr<CollectionWatch> watch) : watch_(std::move(watch)) {}
  ~Handle() override { watch_->close(); }
  void resume() override { watch_->resume(); }

 private:
  std::shared_ptr<CollectionWatch> watch_;
};

}  // namespace

Result<std::unique_ptr<WatchHandle>> Registry::watch(const Call& call, const WatchCall& options, WatchSink* sink) {
  BERTH_ASSIGN(Selection selection, parse_selection(*call.kind, options.label_selector, options.field_selector));
  std::string prefix = store_key(*call.kind, call.ns, "");
  bool from_now = options.resource_version.empty() || options.resource_version == "0";
  store::Revision after = 0;
  if (!from_now) {
    BERTH_ASSIGN(after, parse_resource_version(options.resource_version));
  }
  bool with_state = options.send_initial_events.value_or(from_now);
  std::vector<store::RecordPtr> records;
  if (from_now) after = state_->store.revision();
  if (with_state) {
    store::Listing listing = state_->store.list(prefix);
    after = listing.revision;
    for (const store::RecordPtr& record : listing.records) {
      if (selection.matches(from_storage(*call.kind, record->value))) records.push_back(view_of(*call.kind, record));
    }
  }
  auto watch = std::make_shared<CollectionWatch>(state_, *call.kind, std::move(selection), sink);
  Status started = watch->start(prefix, after);
  if (started.failed_with(Code::kExpired)) {
    return error(Code::kExpired, "too old resource version: " + options.resource_version + " (" + std::to_string(state_->store.compacted() + 1) + ")");
  }
  if (!started.ok()) return started.error();
  if (with_state) watch->begin_with(std::move(records), after, options.send_initial_events.value_or(false) && options.bookmarks);
  if (options.bookmarks) watch->bookmark_regularly();
  return std::unique_ptr<WatchHandle>(std::make_unique<Handle>(std::move(watch)));
}

}  // namespace berth::registry
