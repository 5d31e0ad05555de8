#pragma once
// QueuedStore: the Store contract over a WriteLog that makes batches durable. One batch is in flight at a time; writes
// submitted meanwhile go into the next one (group commit). Loop thread only.
//
// When the log refuses a batch, its durable writes fail, and so does every already submitted later write of their keys:
// its precondition was checked against a state that was not stored. Revisions of failed writes are not reused.

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

// One write between submission and visibility. Used by the loop only, except for the first three members, which are
// constant and which a log may read on its own thread.
struct PendingWrite {
  EventPtr event;  // null for a refused write and for flush()
  bool ephemeral = false;
  bool keep_json = false;  // see Write
  std::size_t bytes = 0;
  std::string refused_key;  // key of a refused write that must be answered after a pending write of that key
  std::optional<Error> refused;
  Task flushed;  // set for flush()
  Store::Done done;

  const std::string& key() const { return event ? event->record->key : refused_key; }
};

struct WriteBatch {
  std::vector<PendingWrite> writes;
  Revision last_revision = 0;     // the largest revision used so far
  std::vector<Revision> garbage;  // rows to remove
  Revision compacted = 0;         // history below it is not promised
};

class WriteLog {
 public:
  virtual ~WriteLog() = default;
  // Makes a batch durable, atomically, and calls `done` on the loop, later. One batch at a time. kUnavailable: nothing
  // was stored. kUnknown: the batch may reappear after a crash.
  virtual void append(std::shared_ptr<const WriteBatch> batch, Function<void(Status)> done) = 0;
  // Ephemeral writes up to this revision need no log entry: after a restart revisions start above it.
  virtual Revision reserved() const = 0;
  // Why the store may not grow at present: the disk is so full that the remaining space is reserved for deletions and
  // for changes that do not grow; `expendable` writes are refused somewhat earlier. Called before each such write;
  // fast.
  virtual std::optional<Error> no_room_to_grow([[maybe_unused]] bool expendable) { return std::nullopt; }
  // Orderly shutdown: no revision above this one was used. Blocks.
  virtual void close(Revision last) = 0;
};

class QueuedStore final : public Store {
 public:
  // `map` contains the recovered state.
  QueuedStore(Runtime& runtime, const StoreLimits& limits, std::unique_ptr<VersionedMap> map,
              std::unique_ptr<WriteLog> log);
  ~QueuedStore() override;

  RecordPtr get(std::string_view key) const override;
  RecordPtr head(std::string_view key) const override;
  Listing list(std::string_view prefix, std::size_t limit, std::string_view start_after) const override;
  Result<Listing> list_at(Revision revision, std::string_view prefix, std::size_t limit, std::string_view start_after,
                          RemainingCount rest) const override;
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
    std::size_t pending = 0;  // pending writes, refused ones included
  };
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  struct WriteAnswer {
    Store::Done done;
    Task flushed;
    Result<RecordPtr> result;
  };
  using Heads = std::unordered_map<std::string, Head, Hash, std::equal_to<>>;

  // `bytes`: the size to be stored.
  std::optional<Error> why_refused(const Write& write, std::size_t bytes, const RecordPtr& now) const;
  void refuse(const std::string& key, Error why, Done done);
  EventPtr make_event(Write& write, const RecordPtr& now);
  bool nothing_pending() const { return queue_.empty() && !in_flight_; }
  void enqueue(PendingWrite pending);
  void schedule_batch();
  void start_batch();
  bool needs_log(const WriteBatch& batch) const;
  void finish(const std::shared_ptr<WriteBatch>& batch, const Status& status);
  // Publishes the successful writes and collects the answers.
  void complete_batch(WriteBatch& batch, const Status& status, std::vector<WriteAnswer>& answers);
  void fail_later_writes(const std::vector<std::string>& keys, const Error& why, std::vector<WriteAnswer>& answers);
  void release_head(const std::string& key);
  void publish(const EventPtr& event, std::size_t bytes, bool durable);

  Runtime& runtime_;
  const StoreLimits limits_;
  std::unique_ptr<VersionedMap> map_;
  WatchHub hub_;
  std::unique_ptr<WriteLog> log_;
  Heads heads_;
  std::deque<PendingWrite> queue_;
  bool in_flight_ = false;
  bool batch_posted_ = false;
  Revision last_submitted_ = 0;
  Lifetime lifetime_;
};

}  // namespace berth::store
