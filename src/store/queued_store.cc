#include "store/queued_store.h"

#include <unordered_set>

#include "base/metrics.h"

namespace berth::store {

namespace {

constexpr std::size_t kBatchWrites = 2048;
constexpr std::size_t kBatchBytes = 8u << 20;
constexpr std::size_t kGrowth = 16u << 10;  // an object may grow by this much even while the disk is full
constexpr std::size_t kMinGarbage = 256;    // removing rows one by one would double the cost of a small batch
constexpr std::size_t kMaxGarbage = 1024;

struct Metrics {
  metrics::Counter& commits = metrics::counter("berth_store_commits_total", "Batches of writes made durable.");
  metrics::Counter& failed = metrics::counter("berth_store_failed_commits_total", "Batches that the log refused.");
  metrics::Counter& ephemeral =
      metrics::counter("berth_store_ephemeral_writes_total", "Writes that were kept in memory only.");
  metrics::Histogram& batch = metrics::histogram("berth_store_batch_writes", "Writes that were made durable together.",
                                                 {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024});
};
Metrics& store_metrics() {
  static Metrics instance;
  return instance;
}

}  // namespace

QueuedStore::QueuedStore(Runtime& runtime, const StoreLimits& limits, std::unique_ptr<VersionedMap> map,
                         std::unique_ptr<WriteLog> log)
    : runtime_(runtime),
      limits_(limits),
      map_(std::move(map)),
      hub_(runtime, *map_),
      log_(std::move(log)),
      last_submitted_(map_->revision()) {}

QueuedStore::~QueuedStore() {
  lifetime_.end();
  log_->close(last_submitted_);
}

RecordPtr QueuedStore::get(std::string_view key) const { return map_->get(key); }

RecordPtr QueuedStore::head(std::string_view key) const {
  auto it = heads_.find(key);
  return it == heads_.end() ? map_->get(key) : it->second.record;
}

Listing QueuedStore::list(std::string_view prefix, std::size_t limit, std::string_view start_after) const {
  return map_->list(prefix, limit, start_after);
}

Result<Listing> QueuedStore::list_at(Revision revision, std::string_view prefix, std::size_t limit,
                                     std::string_view start_after, RemainingCount rest) const {
  return map_->list_at(revision, prefix, limit, start_after, rest);
}

std::size_t QueuedStore::count(std::string_view prefix) const { return map_->count(prefix); }

Result<std::unique_ptr<Watch>> QueuedStore::watch(std::string prefix, Revision after, WatchSink* sink) {
  return hub_.add(std::move(prefix), after, sink);
}

Revision QueuedStore::revision() const { return map_->revision(); }
Revision QueuedStore::last_change(std::string_view prefix) const { return map_->last_change(prefix); }
Revision QueuedStore::compacted() const { return map_->compacted(); }
void QueuedStore::compact(Revision revision) { map_->compact(revision); }

std::optional<Error> QueuedStore::why_refused(const Write& write, std::size_t bytes, const RecordPtr& now) const {
  if (write.key.empty()) return error(Code::kInvalid, "a write needs a key");
  if (write.kind == Write::Kind::kDelete && !now) return error(Code::kNotFound, "key " + write.key + " not found");
  if (write.expected != -1 && (now ? now->mod_revision : 0) != write.expected) {
    if (!now) return error(Code::kConflict, "key " + write.key + " does not exist");
    return error(Code::kConflict, write.expected == 0
                                      ? "key " + write.key + " exists already"
                                      : "key " + write.key + " is at revision " + std::to_string(now->mod_revision) +
                                            ", not " + std::to_string(write.expected));
  }
  if (write.kind == Write::Kind::kDelete) return std::nullopt;
  if (!write.value.is_object() || !(write.value["metadata"].is_object() || write.value["metadata"].is_null())) {
    return error(Code::kInvalid, "the value of " + write.key + " is no API object");
  }
  if (bytes > limits_.max_value_bytes) {
    return error(Code::kTooLarge, "the value of " + write.key + " has about " + std::to_string(bytes) +
                                      " bytes; at most " + std::to_string(limits_.max_value_bytes) + " are stored");
  }
  const bool grows = !now || (bytes > kGrowth && bytes > kGrowth + approximate_size(now->value));
  if (!write.ephemeral && (grows || write.expendable)) return log_->no_room_to_grow(write.expendable);
  return std::nullopt;
}

void QueuedStore::refuse(const std::string& key, Error why, Done done) {
  if (heads_.contains(key)) {
    // The refusal was decided against a pending write that may fail: answer it after that write.
    PendingWrite refused;
    refused.refused_key = key;
    refused.refused = std::move(why);
    refused.done = std::move(done);
    return enqueue(std::move(refused));
  }
  runtime_.post([alive = lifetime_.guard(), why = std::move(why), done = std::move(done)] {
    if (alive) done(why);
  });
}

EventPtr QueuedStore::make_event(Write& write, const RecordPtr& now) {
  const Revision revision = ++last_submitted_;
  const bool deletes = write.kind == Write::Kind::kDelete;
  Value value = deletes ? now->value : std::move(write.value);
  value.mut("metadata").set("resourceVersion", std::to_string(revision));
  auto event = std::make_shared<Event>();
  event->type = deletes ? EventType::kDeleted : now ? EventType::kModified : EventType::kAdded;
  event->revision = revision;
  event->previous = now;
  event->record = std::make_shared<const Record>(std::move(write.key), std::move(value),
                                                 now ? now->create_revision : revision, revision);
  return event;
}

void QueuedStore::write(Write write, Done done) {
  RecordPtr now = head(write.key);
  const bool deletes = write.kind == Write::Kind::kDelete;
  const std::size_t bytes = deletes ? (now ? approximate_size(now->value) : 0) : approximate_size(write.value);
  if (auto why = why_refused(write, bytes, now)) return refuse(write.key, std::move(*why), std::move(done));
  PendingWrite pending;
  pending.ephemeral = write.ephemeral;
  pending.keep_json = write.keep_json;
  pending.bytes = bytes;
  pending.event = make_event(write, now);
  pending.done = std::move(done);
  if (!pending.ephemeral || !nothing_pending() || pending.event->revision > log_->reserved()) {
    return enqueue(std::move(pending));
  }
  publish(pending.event, pending.bytes, false);
  store_metrics().ephemeral.add();
  runtime_.post([alive = lifetime_.guard(), done = std::move(pending.done), record = pending.event->record] {
    if (alive) done(record);
  });
}

void QueuedStore::flush(Task done) {
  if (nothing_pending()) return runtime_.post(std::move(done));
  PendingWrite marker;
  marker.flushed = std::move(done);
  enqueue(std::move(marker));
}

void QueuedStore::enqueue(PendingWrite pending) {
  if (!pending.flushed) {
    Head& head = heads_[pending.key()];
    ++head.pending;
    if (pending.event) {
      head.record = pending.event->type == EventType::kDeleted ? nullptr : pending.event->record;
    }
  }
  queue_.push_back(std::move(pending));
  schedule_batch();
}

void QueuedStore::schedule_batch() {
  if (in_flight_ || batch_posted_) return;
  batch_posted_ = true;  // posted, so that writes submitted by later tasks of this turn join the batch
  runtime_.post([this, alive = lifetime_.guard()] {
    if (!alive) return;
    batch_posted_ = false;
    start_batch();
  });
}

bool QueuedStore::needs_log(const WriteBatch& batch) const {
  for (const PendingWrite& write : batch.writes) {
    if (write.event && (!write.ephemeral || write.event->revision > log_->reserved())) return true;
  }
  return false;
}

void QueuedStore::start_batch() {
  if (in_flight_ || queue_.empty()) return;
  auto batch = std::make_shared<WriteBatch>();
  std::size_t bytes = 0;
  while (!queue_.empty() && batch->writes.size() < kBatchWrites && bytes < kBatchBytes) {
    bytes += queue_.front().bytes;
    batch->writes.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  in_flight_ = true;
  if (!needs_log(*batch)) {
    runtime_.post([this, alive = lifetime_.guard(), batch] {
      if (!alive) return;
      in_flight_ = false;
      finish(batch, ok_status());
    });
    return;
  }
  batch->last_revision = last_submitted_;
  batch->garbage = map_->collect_garbage(kMinGarbage, kMaxGarbage);
  batch->compacted = map_->compacted();
  log_->append(batch, [this, alive = lifetime_.guard(), batch](Status status) {
    if (!alive) return;
    in_flight_ = false;
    if (status.ok()) {
      store_metrics().commits.add();
      store_metrics().batch.observe(static_cast<double>(batch->writes.size()));
    } else {
      store_metrics().failed.add();
      map_->return_garbage(batch->garbage);
    }
    finish(batch, status);
  });
}

void QueuedStore::finish(const std::shared_ptr<WriteBatch>& batch, const Status& status) {
  std::vector<WriteAnswer> answers;
  complete_batch(*batch, status, answers);
  const auto alive = lifetime_.guard();
  start_batch();  // start the next batch first: the disk works while the callbacks run
  for (WriteAnswer& answer : answers) {
    if (!alive) return;
    if (answer.flushed) {
      answer.flushed();
    } else {
      answer.done(std::move(answer.result));
    }
  }
}

void QueuedStore::complete_batch(WriteBatch& batch, const Status& status, std::vector<WriteAnswer>& answers) {
  std::vector<std::string> failed;
  std::unordered_set<std::string_view> failed_set;  // views of the batch's keys, which outlive it
  for (PendingWrite& write : batch.writes) {
    if (write.flushed) {
      answers.push_back({nullptr, std::move(write.flushed), RecordPtr()});
      continue;
    }
    const bool needed_log = write.event && (!write.ephemeral || write.event->revision > log_->reserved());
    if (!status.ok() && (needed_log || failed_set.contains(write.key()))) {
      if (failed_set.insert(write.key()).second) failed.push_back(write.key());
      answers.push_back({std::move(write.done), nullptr, status.error()});
    } else if (write.refused) {
      answers.push_back({std::move(write.done), nullptr, std::move(*write.refused)});
    } else {
      publish(write.event, write.bytes, !write.ephemeral);
      if (write.ephemeral) store_metrics().ephemeral.add();
      answers.push_back({std::move(write.done), nullptr, write.event->record});
    }
    release_head(write.key());
  }
  if (!failed.empty()) fail_later_writes(failed, status.error(), answers);
}

void QueuedStore::fail_later_writes(const std::vector<std::string>& keys, const Error& why,
                                    std::vector<WriteAnswer>& answers) {
  std::unordered_set<std::string_view> failed(keys.begin(), keys.end());
  std::deque<PendingWrite> remaining;
  for (PendingWrite& write : queue_) {
    if (write.flushed || !failed.contains(write.key())) {
      remaining.push_back(std::move(write));
      continue;
    }
    answers.push_back({std::move(write.done), nullptr, why});
    release_head(write.key());
  }
  queue_ = std::move(remaining);
}

void QueuedStore::release_head(const std::string& key) {
  auto it = heads_.find(key);
  if (--it->second.pending == 0) heads_.erase(it);
}

void QueuedStore::publish(const EventPtr& event, std::size_t bytes, bool durable) {
  map_->apply(event, bytes, durable);
  hub_.publish(event);
}

}  // namespace berth::store
