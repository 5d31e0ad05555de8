#include "store/sqlite_log.h"

#include <unistd.h>

#include <algorithm>

#include "base/check.h"
#include "base/fault.h"
#include "base/files.h"
#include "base/fs/reserve_file.h"
#include "base/log.h"
#include "base/metrics.h"
#include "store/witness.h"

namespace berth::store {

namespace {

constexpr Revision kReserve = 10'000;         // revisions reserved in one go
constexpr std::size_t kFirstRoom = 1u << 20;  // of a store's first journal; few stores are busy
constexpr std::int64_t kKeptFree =
    16 << 20;                          // of the disk, for writes that do not grow; or a twentieth where that is less
constexpr Duration kDiskSeen = 100ms;  // before the free space is looked at again
constexpr const char* kReserveSuffix = ".reserve";
constexpr std::int64_t kReserveBytes = 16 << 20;

struct Metrics {
  metrics::Histogram& seconds =
      metrics::histogram("berth_store_commit_seconds", "Time to make one batch durable.",
                         {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5});
  metrics::Counter& moves = metrics::counter("berth_store_moves_total", "Journals that were moved into the database.");
  metrics::Gauge& journal = metrics::gauge("berth_store_journal_bytes", "Used of the journal after the last batch.");
};
Metrics& log_metrics() {
  static Metrics instance;
  return instance;
}

}  // namespace

Status Journals::sort_out(const std::string& path, const SqliteFile& file) {
  for (const char* suffix : kJournalSuffixes) {
    BERTH_ASSIGN(std::unique_ptr<JournalFile> journal, JournalFile::find(path + suffix, file.up()));
    if (!journal) continue;
    const bool ours = journal->identity() == file.identity();
    if (ours) generation = std::max(generation, journal->generation() + 1);
    if (ours && journal->generation() < file.generation()) continue;  // it has been moved
    BERTH_TRY(journal->recover());
    if (!ours || !file.journal_begun()) {
      if (journal->empty() && !journal->loss()) continue;
      return unusable(path,
                      std::string("knows nothing of the writes in its journal ") + journal->path() +
                          ": they are of another store, or of another time",
                      file.up());
    }
    const std::int64_t ahead = journal->generation() - file.generation();
    if (ahead > 1) {
      loss = LossFound{Loss::kJournalMissing, path,
                       "is older than its journal " + journal->path() + ", or another journal is missing"};
      continue;
    }
    std::unique_ptr<JournalFile>& place = ahead == 0 ? full : active;
    // Of two of one time one is empty: a last spare that an orderly end was about to remove, when a new first journal
    // was begun.
    const bool in_use = !journal->empty() || journal->loss();
    if (!place || (in_use && place->empty() && !place->loss())) {
      place = std::move(journal);
    } else if (in_use) {
      return unusable(path, "has two journals of one time, " + place->path() + " and " + journal->path(), file.up());
    }
  }
  return ok_status();
}

// Leaves what is before the loss.
void Journals::look_for_loss(const std::string& path, const SqliteFile& file) {
  auto beyond = [](const std::unique_ptr<JournalFile>& journal) {
    return journal && (!journal->empty() || journal->loss());
  };
  if (file.journal_begun() && !full) {
    if (!loss) loss = LossFound{Loss::kJournalMissing, path, "is damaged: the journal with its last writes is missing"};
    active = nullptr;
  } else if (full && full->loss()) {
    loss = full->loss();
    active = nullptr;
  } else if (full && full->ended() && !active) {
    loss = LossFound{Loss::kJournalMissing, path,
                     "is damaged: the journal after " + full->path() + " is missing, or its head cannot be read"};
  } else if (full && full->proves_its_end() && !full->ended() && beyond(active)) {
    loss =
        LossFound{Loss::kJournalDamaged, full->path(),
                  "is damaged: its last batches cannot be read, although " + active->path() + " was begun after them"};
    active = nullptr;
  } else if (active && active->loss()) {
    loss = active->loss();
  }
}

Result<Journals> Journals::find(const std::string& path, const SqliteFile& file) {
  Journals found;
  found.generation = file.generation() + 1;
  BERTH_TRY(found.sort_out(path, file));
  found.look_for_loss(path, file);
  // The second one may have been begun and not used: it is then begun once more.
  const bool ended = found.full && found.full->ended();
  if (!ended && (!found.active || found.active->empty())) found.active = std::exchange(found.full, nullptr);
  for (const JournalFile* journal : {found.full.get(), found.active.get()}) {
    if (!journal) continue;
    BERTH_TRY(journal->read([&found](const JournalEntry& entry) {
      if (entry.kind == JournalEntry::Kind::kReserve) found.reserved = entry.revision;
      if (entry.kind == JournalEntry::Kind::kCompact) found.compacted = entry.revision;
      return ok_status();
    }));
  }
  return found;
}

SqliteLog::SqliteLog(Runtime& runtime, std::string path, std::unique_ptr<SqliteFile> file, Journals journals,
                     std::size_t room, std::string witness)
    : runtime_(runtime),
      path_(std::move(path)),
      room_(room),
      witness_(std::move(witness)),
      reserved_(std::max(file->reserved(), journals.reserved)),
      active_(std::move(journals.active)),
      file_(std::move(file)),
      begun_(active_ ? active_->generation() : file_->generation() - 1),
      full_(std::move(journals.full)) {
  if (active_) newest_path_ = active_->path();
  mover_asked_ = full_ || !active_;
  writer_thread_ = std::thread([this] { write_batches(); });
  mover_thread_ = std::thread([this] { move_when_asked(); });
}

SqliteLog::~SqliteLog() { stop_threads(); }

void SqliteLog::append(std::shared_ptr<const Batch> batch, Function<void(Status)> done) {
  // Renewed when half is used up, with a batch that is written anyway, so that ephemeral writes hardly ever need one.
  const Revision reserve = batch->last_revision + kReserve / 2 > reserved_ ? batch->last_revision + kReserve : 0;
  Job job{std::move(batch), reserve, {}, runtime_.monotonic()};
  job.done = [this, reserve, alive = lifetime_.guard(), done = std::move(done)](Status status) {
    if (!alive) return;
    if (status.ok() && reserve != 0) reserved_ = reserve;
    done(std::move(status));
  };
  IoHelper* helper = job.batch->writes.size() == 1 ? runtime_.io_helper() : nullptr;
  if (!helper) return hand_to_writer(std::move(job));
  {
    std::lock_guard<std::mutex> guard(mutex_);
    lone_ = true;
  }
  helper->add_work([this, helper, job = std::move(job), under_way = false]() mutable {
    return write_lone(*helper, job, under_way);
  });
}

std::optional<Error> SqliteLog::no_room_to_grow(bool expendable) {
  const Duration now = runtime_.monotonic();
  if (!disk_short_ && disk_seen_ != Duration{} && now - disk_seen_ < kDiskSeen) return std::nullopt;
  disk_seen_ = now;
  const DiskSpace disk = disk_space_at(path_);
  const std::int64_t kept = std::min(kKeptFree, disk.total / 20), kept_from_expendable = 2 * kept;
  disk_short_ = disk.total > 0 && disk.free < kept_from_expendable;
  if (!disk_short_ || (!expendable && disk.free >= kept)) return std::nullopt;
  return error(Code::kUnavailable,
               "writing " + path_ + ": No space left on device: " + std::to_string(disk.free) +
                   " bytes are free, which are kept for " +
                   (expendable ? "objects that are needed more" : "deletions and for changes that do not grow") +
                   ". Free some space");
}

bool SqliteLog::spend_reserve() const {
  if (::unlink((path_ + kReserveSuffix).c_str()) != 0) return false;
  log_warning("store", "the disk is full: the reserve is used", {{"reserve", path_ + kReserveSuffix}});
  return true;
}

void SqliteLog::hand_to_writer(Job job) {
  {
    std::lock_guard<std::mutex> guard(mutex_);
    job_ = std::move(job);
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
    Status status = make_durable(job);
    // Behind many answers there is another batch, which must not wait for them.
    const bool lone = job.batch->writes.size() == 1;
    answer(std::move(job), std::move(status), lone, nullptr);
    guard.lock();
  }
}

bool SqliteLog::write_lone(IoHelper& helper, Job& job, bool& under_way) {
  Status status;
  if (under_way) {
    std::optional<std::int64_t> result = write_.result();
    if (!result) return false;
    status = active_->finish_append(encoded_, *result);
  } else {
    status = encode(job);
    if (status.ok()) status = injected_fault();
    under_way = status.ok() && active_ && active_->begin_append(encoded_, write_, helper.wake_fd());
    if (under_way) return false;
    if (status.ok()) {  // it does not fit, or this file system has no direct writes
      std::lock_guard<std::mutex> guard(mutex_);
      job_ = std::move(job);
      work_.notify_one();
      lone_ = false;
      lone_ended_.notify_one();
      return true;
    }
  }
  answer(std::move(job), std::move(status), true, &helper);
  return true;
}

// The log may be destroyed as soon as the mutex is free where an I/O helper answers.
void SqliteLog::answer(Job job, Status status, bool may_run, IoHelper* helper) {
  log_metrics().seconds.observe(std::chrono::duration<double>(runtime_.monotonic() - job.begun).count());
  if (!status.ok()) log_error("store", "writes failed", {{"reason", status.error().message}});
  Runtime& runtime = runtime_;
  {
    std::lock_guard<std::mutex> guard(mutex_);
    lone_ = false;
    lone_ended_.notify_one();
    if (active_) {
      log_metrics().journal.set(static_cast<std::int64_t>(active_->used()));
      if (active_->used() > active_->room() / 2 && !spare_ && !full_ && last_attempt_.ok()) ask_mover();
    }
  }
  job.batch.reset();
  Task task = [status = std::move(status), done = std::move(job.done)] { done(status); };
  if (may_run) {
    runtime.run_or_post(std::move(task), helper);
  } else {
    runtime.post(std::move(task));
  }
}

Status SqliteLog::injected_fault() const {
  if (fault::hit("store.commit")) return error(Code::kUnavailable, "writing " + path_ + ": injected fault");
  if (fault::hit("store.fsync")) return error(Code::kUnknown, "writing " + path_ + ": injected fault of fsync");
  return ok_status();
}

Status SqliteLog::make_durable(const Job& job) {
  BERTH_TRY(encode(job));
  // A batch that is larger than a journal has one for itself.
  if (!active_ || (!active_->fits(encoded_) && !active_->empty())) BERTH_TRY(take_spare());
  BERTH_TRY(injected_fault());
  return active_->append(encoded_);
}

Status SqliteLog::encode(const Job& job) {
  using Kind = JournalEntry::Kind;
  encoded_.clear();
  for (const Submitted& write : job.batch->writes) {
    if (!write.event || write.ephemeral) continue;
    if (fault::hit("store.insert")) return error(Code::kUnavailable, "writing " + path_ + ": injected fault");
    const Event& event = *write.event;
    const Record& record = *event.record;
    const bool deletes = event.type == EventType::kDeleted;
    std::string_view value;
    if (!deletes && write.keep_json) {
      value = record.json();
    } else if (!deletes) {
      json_.clear();
      json::encode_to(record.value, json_);
      value = json_;
    }
    encoded_.add({deletes ? Kind::kDelete : Kind::kPut, event.revision, record.create_revision, record.key, value});
  }
  for (Revision row : job.batch->garbage) encoded_.add({Kind::kForget, row});
  if (!job.batch->garbage.empty()) encoded_.add({Kind::kCompact, job.batch->compacted});
  if (job.reserve != 0) encoded_.add({Kind::kReserve, job.reserve});
  return ok_status();
}

// The active journal is full, or there is none yet.
Status SqliteLog::take_spare() {
  std::unique_lock<std::mutex> guard(mutex_);
  if (!spare_) {
    const std::uint64_t before = attempts_;
    ask_mover();
    mover_gives_way_ = false;
    moved_.wait(guard, [&] { return spare_ || attempts_ != before; });
    mover_gives_way_ = true;
    if (!spare_) return error(Code::kUnavailable, last_attempt_.error().message);
  }
  if (active_) {
    // Nobody else takes the spare, nor has the active one.
    guard.unlock();
    BERTH_TRY(active_->end());
    guard.lock();
  }
  full_ = std::exchange(active_, std::move(spare_));
  if (full_) ask_mover();
  return ok_status();
}

void SqliteLog::ask_mover() {
  mover_asked_ = true;
  mover_.notify_one();
}

void SqliteLog::tell_witness(Revision revision) const {
  write_witness(witness_, {file_->identity(), file_->generation(), revision});
}

void SqliteLog::move_when_asked() {
  std::unique_lock<std::mutex> guard(mutex_);
  while (true) {
    mover_.wait(guard, [this] { return writer_ended_ || mover_asked_; });
    if (writer_ended_) return;
    mover_asked_ = false;
    if (spare_) continue;
    Journal full = std::move(full_), fresh;
    guard.unlock();
    Status status = move_and_begin(full, fresh);
    if (!status.ok() && disk_space_at(path_).free < kReserveBytes && spend_reserve())
      status = move_and_begin(full, fresh);
    if (status.ok()) keep_reserve_file(path_ + kReserveSuffix, kReserveBytes);
    guard.lock();
    full_ = std::move(full);
    spare_ = std::move(fresh);
    if (!status.ok() && last_attempt_.ok()) {
      log_warning("store", "moving the journal failed", {{"reason", status.error().message}});
    }
    last_attempt_ = std::move(status);
    ++attempts_;
    moved_.notify_one();
  }
}

Status SqliteLog::move_and_begin(Journal& full, Journal& fresh) {
  if (full) {
    BERTH_TRY(file_->move(*full, &mover_gives_way_));
    fault::step("store.moved");
    tell_witness(file_->newest());
    log_metrics().moves.add();
    full.reset();
  }
  const std::string path = path_ + kJournalSuffixes[newest_path_ == path_ + kJournalSuffixes[0] ? 1 : 0];
  const std::size_t room = newest_path_.empty() ? std::min(room_, kFirstRoom) : room_;
  BERTH_ASSIGN(Journal begun, JournalFile::begin(path, file_->identity(), begun_ + 1, room));
  if (!file_->journal_begun()) BERTH_TRY(file_->begin_journal());
  fault::step("store.spare");
  ++begun_;
  newest_path_ = path;
  fresh = std::move(begun);
  return ok_status();
}

void SqliteLog::stop_threads() {
  BERTH_CHECK(writer_thread_.get_id() != std::this_thread::get_id() && !runtime_.io_helper(),
              "a store is destroyed by a thread that it waits for");
  lifetime_.end();
  {
    std::unique_lock<std::mutex> guard(mutex_);
    lone_ended_.wait(guard, [this] { return !lone_; });
    stopping_ = true;
  }
  work_.notify_one();
  if (writer_thread_.joinable()) writer_thread_.join();
  {
    std::lock_guard<std::mutex> guard(mutex_);
    writer_ended_ = true;
  }
  mover_.notify_one();
  if (mover_thread_.joinable()) mover_thread_.join();
}

// Everything into the database, which is then the whole store, in one file.
void SqliteLog::close(Revision last) {
  stop_threads();
  const JournalFile* newest = active_ ? active_.get() : spare_.get();
  Status status;
  if (full_) status = file_->move(*full_);
  if (status.ok() && (newest || last != file_->reserved())) status = file_->close(newest, last);
  if (!status.ok()) {
    // The journals stay, and are read at the next start.
    log_warning("store", "closing", {{"reason", status.error().message}});
    return;
  }
  fault::step("store.closed");
  tell_witness(last);
  for (const char* suffix : kJournalSuffixes) {
    fault::step("store.emptied");
    ::unlink((path_ + suffix).c_str());
  }
}

}  // namespace berth::store
