#pragma once
// QueuedStore: the Store contract over a Log that makes batches durable. One batch is on its way at a time; what is
// submitted meanwhile goes into the next one (group commit). Loop thread only.
//
// When the log refuses a batch its durable writes fail, and so does every later write, submitted already, of a key
// that has failed: it was decided on a state that never came about. Revisions of failed writes are not used again.

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/lifetime.h"
#include "store/versioned_map.h"
#include "store/watch_hub.h"

namespace berth::store {

// One write on its way to becoming visible. Only the loop touches it, except for the first three, which do not change
// and which a log may read on its own thread.
struct Submitted {
  EventPtr event;  // null for the two below
  bool ephemeral = false;
  bool keep_json = false;  // see Write
  std::size_t bytes = 0;
  std::string refused_key;  // refused because of a write that is still on its way: answered behind it
  std::optional<Error> refused;
  Task flushed;  // of flush()
  Store::Done done;

  const std::string& key() const { return event ? event->record->key : refused_key; }
};

struct Batch {
  std::vector<Submitted> writes;
  Revision last_revision = 0;     // the greatest that was handed out up to here
  std::vector<Revision> garbage;  // rows to remove
  Revision compacted = 0;         // nothing of the past is promised below it
};

class Log {
 public:
  virtual ~Log() = default;
  // Makes a batch durable, whole or not at all, and calls `done` on the loop, later. One at a time.
  // kUnavailable: nothing was stored. kUnknown: it may reappear after a crash.
  virtual void append(std::shared_ptr<const Batch> batch, Function<void(Status)> done) = 0;
  // Ephemeral writes up to this revision need no disk: a restart begins above it.
  virtual Revision reserved() const = 0;
  // Why nothing may be added at present: the disk is so full that what is left is kept for deletions and for changes
  // that do not grow; of `expendable` writes somewhat earlier. Asked before each such write; fast.
  virtual std::optional<Error> no_room_to_grow([[maybe_unused]] bool expendable) { return std::nullopt; }
  // Orderly end: no revision above this one was handed out. Blocks.
  virtual void close(Revision last) = 0;
};

class QueuedStore final : public Store {
 public:
  // `map` holds the recovered state.
  QueuedStore(Runtime& runtime, const Limits& limits, std::unique_ptr<VersionedMap> map, std::unique_ptr<Log> log);
  ~QueuedStore() override;

  RecordPtr get(std::string_view key) const override;
  RecordPtr head(std::string_view key) const override;
  Listing list(std::string_view prefix, std::size_t limit, std::string_view start_after) const override;
  Result<Listing> list_at(Revision revision, std::string_view prefix, std::size_t limit, std::string_view start_after,
                          Rest rest) const override;
  std::size_t count(std::string_view prefix) const override;
  void write(Write write, Done done) override;
  Result<std::unique_ptr<Watch>> watch(std::string prefix, Revision after, WatchSink* sink) override;
  Revision revision() const override;
  Revision last_change(std::string_view prefix) const override;
  Revision compacted() const override;
  void compact(Revision revision) override;
  void flush(Task done) override;

 private:
  struct Head {
    RecordPtr record;         // null: deleted
    std::size_t pending = 0;  // writes on their way, refused ones included
  };
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  struct Answer {
    Store::Done done;
    Task flushed;
    Result<RecordPtr> result;
  };
  using Heads = std::unordered_map<std::string, Head, Hash, std::equal_to<>>;

  // `bytes`: the size of what would be stored.
  std::optional<Error> refusal(const Write& write, std::size_t bytes, const RecordPtr& now) const;
  void refuse(const std::string& key, Error why, Done done);
  EventPtr make_event(Write& write, const RecordPtr& now);
  bool nothing_pending() const { return queue_.empty() && !in_flight_; }
  void enqueue(Submitted submitted);
  void kick();
  void start_batch();
  bool needs_log(const Batch& batch) const;
  void finish(const std::shared_ptr<Batch>& batch, const Status& status);
  // Makes visible what succeeded, and gathers what to tell whom.
  void settle(Batch& batch, const Status& status, std::vector<Answer>& answers);
  void fail_dependents(const std::vector<std::string>& keys, const Error& why, std::vector<Answer>& answers);
  void release_head(const std::string& key);
  void show(const EventPtr& event, std::size_t bytes, bool durable);

  Runtime& runtime_;
  const Limits limits_;
  std::unique_ptr<VersionedMap> map_;
  WatchHub hub_;
  std::unique_ptr<Log> log_;
  Heads heads_;
  std::deque<Submitted> queue_;
  bool in_flight_ = false;
  bool kick_posted_ = false;
  Revision last_submitted_ = 0;
  Lifetime lifetime_;
};

}  // namespace berth::store
