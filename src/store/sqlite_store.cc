#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>

#include "base/check.h"
#include "base/log.h"
#include "base/metrics.h"
#include "store/queued_store.h"
#include "store/sqlite_file.h"

namespace berth::store {

namespace {

constexpr Revision kReserve = 10'000;  // revisions reserved in one go
constexpr std::size_t kCheckpointBytes = 8u << 20;
constexpr std::size_t kBusyBytes = 512u << 10;  // a write-ahead log that has grown so far will go on
constexpr std::size_t kRoomBytes = kCheckpointBytes + (4u << 20);  // what comes while it is moved

struct Metrics {
  metrics::Histogram& seconds = metrics::histogram("berth_store_commit_seconds", "Time to make one batch durable.",
                                                   {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                                    0.1, 0.25, 0.5, 1, 2.5});
  metrics::Counter& checkpoints =
      metrics::counter("berth_store_checkpoints_total", "Times the write-ahead log was moved into the database.");
  metrics::Gauge& wal = metrics::gauge("berth_store_wal_bytes", "Size of the write-ahead log after the last batch.");
};
Metrics& sqlite_metrics() {
  static Metrics instance;
  return instance;
}

// Two threads around one SqliteFile: one commits, one checkpoints and makes room.
class SqliteLog final : public Log {
 public:
  SqliteLog(Runtime& runtime, std::unique_ptr<SqliteFile> file)
      : runtime_(runtime), file_(std::move(file)), reserved_(file_->reserved()) {
    writer_ = std::thread([this] { write_batches(); });
    checkpointer_ = std::thread([this] { checkpoint_when_asked(); });
  }
  ~SqliteLog() override { stop_threads(); }

  void append(std::shared_ptr<const Batch> batch, Function<void(Status)> done) override;
  Revision reserved() const override { return reserved_; }
  void close(Revision last) override;

 private:
  struct Job {
    std::shared_ptr<const Batch> batch;
    Revision reserve = 0;
    Function<void(Status)> done;
  };
  void write_batches();
  void checkpoint_when_asked();
  void stop_threads();

  Runtime& runtime_;
  std::unique_ptr<SqliteFile> file_;
  Revision reserved_;  // the loop's
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);

  std::mutex mutex_;
  std::condition_variable work_;
  std::condition_variable checkpoint_;
  std::optional<Job> job_;
  bool checkpoint_wanted_ = false, checkpoint_runs_ = false;
  bool room_wanted_ = false, room_made_ = false;
  bool stopping_ = false;
  std::thread writer_;
  std::thread checkpointer_;
};

void SqliteLog::append(std::shared_ptr<const Batch> batch, Function<void(Status)> done) {
  // Renewed when half is used up, with a batch that is written anyway, so that ephemeral writes hardly ever need one.
  const Revision reserve = batch->last_revision + kReserve / 2 > reserved_ ? batch->last_revision + kReserve : 0;
  {
    std::lock_guard<std::mutex> guard(mutex_);
    job_ = Job{std::move(batch), reserve,
               [this, reserve, alive = alive_, done = std::move(done)](Status status) {
                 if (!*alive) return;
                 if (status.ok() && reserve != 0) reserved_ = reserve;
                 done(std::move(status));
               }};
  }
  work_.notify_one();
}

void SqliteLog::write_batches() {
  std::unique_lock<std::mutex> guard(mutex_);
  while (true) {
    work_.wait(guard, [this] { return stopping_ || job_; });
    if (!job_) return;  // a batch that was handed over is still written
    Job job = std::move(*job_);
    job_.reset();
    guard.unlock();
    const Duration start = runtime_.monotonic();
    Status status = file_->commit(*job.batch, job.reserve);
    sqlite_metrics().seconds.observe(std::chrono::duration<double>(runtime_.monotonic() - start).count());
    sqlite_metrics().wal.set(static_cast<std::int64_t>(file_->wal_bytes()));
    // Where the disk is full, an emptied write-ahead log may be all the space that is needed.
    const bool checkpoint = !status.ok() || file_->wal_bytes() > kCheckpointBytes;
    if (!status.ok()) log_error("store", "writes failed", {{"reason", status.error().message}});
    const bool alone = job.batch->writes.size() == 1;
    job.batch.reset();
    Task answer = [status = std::move(status), done = std::move(job.done)] { done(status); };
    // Behind many answers there is another batch, which must not wait for them.
    if (alone) {
      runtime_.lend(std::move(answer));
    } else {
      runtime_.post(std::move(answer));
    }
    guard.lock();
    const bool room = !room_made_ && file_->wal_bytes() > kBusyBytes;
    if ((checkpoint && !checkpoint_wanted_ && !checkpoint_runs_) || room) {
      checkpoint_wanted_ |= checkpoint;
      room_wanted_ |= room;
      room_made_ |= room;
      checkpoint_.notify_one();
    }
  }
}

void SqliteLog::checkpoint_when_asked() {
  std::unique_lock<std::mutex> guard(mutex_);
  while (true) {
    checkpoint_.wait(guard, [this] { return stopping_ || checkpoint_wanted_ || room_wanted_; });
    if (stopping_) return;
    const bool room = std::exchange(room_wanted_, false), checkpoint = std::exchange(checkpoint_wanted_, false);
    checkpoint_runs_ = checkpoint;
    guard.unlock();
    if (room) file_->make_room(kRoomBytes);
    if (checkpoint) {
      Status status = file_->checkpoint();
      if (status.ok()) {
        sqlite_metrics().checkpoints.add();
      } else {
        log_warning("store", "checkpoint failed", {{"reason", status.error().message}});
      }
    }
    guard.lock();
    checkpoint_runs_ = false;
  }
}

void SqliteLog::stop_threads() {
  BERTH_CHECK(writer_.get_id() != std::this_thread::get_id(), "a store is destroyed by its own writer");
  *alive_ = false;
  {
    std::lock_guard<std::mutex> guard(mutex_);
    stopping_ = true;
  }
  work_.notify_one();
  checkpoint_.notify_one();
  if (writer_.joinable()) writer_.join();
  if (checkpointer_.joinable()) checkpointer_.join();
}

void SqliteLog::close(Revision last) {
  stop_threads();
  // So that an orderly restart goes on with the next number. After a crash the whole reserved block is skipped.
  if (last == file_->reserved()) return;
  if (Status status = file_->reserve(last); !status.ok()) {
    log_warning("store", "closing", {{"reason", status.error().message}});
  }
}

// Replays the log into a map.
class Replay {
 public:
  explicit Replay(VersionedMap& map) : map_(map), compacted_(map.compacted()) {}

  Status take(const SqliteFile::Row& row) {
    RecordPtr previous = map_.get(row.key);
    auto event = std::make_shared<Event>();
    event->revision = row.revision;
    event->previous = previous;
    Value value;
    if (row.deletes) {
      if (!previous) return ok_status();  // of a key that only ever was in memory
      event->type = EventType::kDeleted;
      value = previous->value;
      value.mut("metadata").set("resourceVersion", std::to_string(row.revision));
    } else {
      BERTH_ASSIGN(value, json::parse(row.value));
      if (!value["metadata"].is_object()) return error(Code::kInternal, "no API object");
      event->type = previous ? EventType::kModified : EventType::kAdded;
    }
    event->record =
        std::make_shared<const Record>(std::string(row.key), std::move(value), row.create_revision, row.revision);
    if (row.revision <= compacted_) {
      map_.restore(std::move(event));
    } else {
      map_.apply(std::move(event), row.value.size(), true);
    }
    return ok_status();
  }

 private:
  VersionedMap& map_;
  const Revision compacted_;  // of the file; the map forgets more where its limits ask for it
};

}  // namespace

Result<std::unique_ptr<Store>> open_sqlite_store(Runtime& runtime, const std::string& path, const Limits& limits) {
  BERTH_ASSIGN(std::unique_ptr<SqliteFile> file, SqliteFile::open(path));
  auto map = std::make_unique<VersionedMap>(limits, true);
  map->set_compacted(file->compacted());
  Replay replay(*map);
  BERTH_TRY(file->load([&replay](const SqliteFile::Row& row) { return replay.take(row); }));
  map->advance(std::max(file->reserved(), file->compacted()));
  auto log = std::make_unique<SqliteLog>(runtime, std::move(file));
  return std::unique_ptr<Store>(std::make_unique<QueuedStore>(runtime, limits, std::move(map), std::move(log)));
}

}  // namespace berth::store
