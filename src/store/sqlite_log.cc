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

constexpr Revision kReserve = 10'000;         // revisions reserved at once
constexpr std::size_t kFirstRoom = 1u << 20;  // of a store's first journal; few stores are busy
// Disk space reserved for writes that do not grow; on small disks a twentieth of the disk.
constexpr std::int64_t kMinFree = 16 << 20;
constexpr Duration kDiskCheckPause = 100ms;  // between two checks of the free space
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

Status Journals::assign_files(const std::string& path, const SqliteFile& file) {
  for (const char* suffix : kJournalSuffixes) {
    BERTH_ASSIGN(std::unique_ptr<JournalFile> journal, JournalFile::open_existing(path + suffix, file.up()));
    if (!journal) continue;
    const bool ours = journal->identity() == file.identity();
    if (ours) generation = std::max(generation, journal->generation() + 1);
    if (ours && journal->generation() < file.generation()) continue;  // its entries are in the database
    BERTH_TRY(journal->recover());
    if (!ours || !file.has_journal()) {
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
    // Of two journals with the same generation one is empty: the spare that an interrupted orderly shutdown left when
    // the first journal was created again.
    const bool in_use = !journal->empty() || journal->loss();
    if (!place || (in_use && place->empty() && !place->loss())) {
      place = std::move(journal);
    } else if (in_use) {
      return unusable(path, "has two journals of one time, " + place->path() + " and " + journal->path(), file.up());
    }
  }
  return ok_status();
}

// Sets `loss` and keeps only journals from before it.
void Journals::find_loss(const std::string& path, const SqliteFile& file) {
  auto has_content = [](const std::unique_ptr<JournalFile>& journal) {
    return journal && (!journal->empty() || journal->loss());
  };
  if (file.has_journal() && !full) {
    if (!loss) loss = LossFound{Loss::kJournalMissing, path, "is damaged: the journal with its last writes is missing"};
    active = nullptr;
  } else if (full && full->loss()) {
    loss = full->loss();
    active = nullptr;
  } else if (full && full->ended() && !active) {
    loss = LossFound{Loss::kJournalMissing, path,
                     "is damaged: the journal after " + full->path() + " is missing, or its head cannot be read"};
  } else if (full && full->has_end_mark() && !full->ended() && has_content(active)) {
    loss =
        LossFound{Loss::kJournalDamaged, full->path(),
                  "is damaged: its last batches cannot be read, although " + active->path() + " was begun after them"};
    active = nullptr;
  } else if (active && active->loss()) {
    loss = active->loss();
  }
}

Result<Journals> Journals::find(const std::string& path, const SqliteFile& file) {
  Journals journals;
  journals.generation = file.generation() + 1;
  BERTH_TRY(journals.assign_files(path, file));
  journals.find_loss(path, file);
  // A second journal may have been created and not used: it is then created again.
  const bool ended = journals.full && journals.full->ended();
  if (!ended && (!journals.active || journals.active->empty())) journals.active = std::exchange(journals.full, nullptr);
  for (const JournalFile* journal : {journals.full.get(), journals.active.get()}) {
    if (!journal) continue;
    BERTH_TRY(journal->read([&journals](const JournalEntry& entry) {
      if (entry.kind == JournalEntry::Kind::kReserve) journals.reserved = entry.revision;
      if (entry.kind == JournalEntry::Kind::kCompact) journals.compacted = entry.revision;
      return ok_status();
    }));
  }
  return journals;
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
      newest_generation_(active_ ? active_->generation() : file_->generation() - 1),
      full_(std::move(journals.full)) {
  if (active_) newest_path_ = active_->path();
  move_requested_ = full_ || !active_;
  writer_thread_ = std::thread([this] { run_writer(); });
  mover_thread_ = std::thread([this] { run_mover(); });
}

SqliteLog::~SqliteLog() { stop_threads(); }

void SqliteLog::append(std::shared_ptr<const WriteBatch> batch, Function<void(Status)> done) {
  // Renewed when half of the reserve is used, with a batch that is written anyway, so that ephemeral writes rarely need
  // one.
  const Revision reserve = batch->last_revision + kReserve / 2 > reserved_ ? batch->last_revision + kReserve : 0;
  BatchJob job{std::move(batch), reserve, {}, runtime_.monotonic()};
  job.done = [this, reserve, alive = lifetime_.guard(), done = std::move(done)](Status status) {
    if (!alive) return;
    if (status.ok() && reserve != 0) reserved_ = reserve;
    done(std::move(status));
  };
  IoHelper* helper = job.batch->writes.size() == 1 ? runtime_.io_helper() : nullptr;
  if (!helper) return pass_to_writer(std::move(job));
  {
    std::lock_guard<std::mutex> guard(mutex_);
    helper_has_batch_ = true;
  }
  helper->add_work([this, helper, job = std::move(job), in_progress = false]() mutable {
    return write_single(*helper, job, in_progress);
  });
}

std::optional<Error> SqliteLog::no_room_to_grow(bool expendable) {
  const Duration now = runtime_.monotonic();
  if (!disk_short_ && disk_checked_at_ != Duration{} && now - disk_checked_at_ < kDiskCheckPause) return std::nullopt;
  disk_checked_at_ = now;
  const DiskSpace disk = disk_space_at(path_);
  const std::int64_t min_free = std::min(kMinFree, disk.total / 20), min_for_expendable = 2 * min_free;
  disk_short_ = disk.total > 0 && disk.free < min_for_expendable;
  if (!disk_short_ || (!expendable && disk.free >= min_free)) return std::nullopt;
  return error(Code::kUnavailable,
               "writing " + path_ + ": No space left on device: " + std::to_string(disk.free) +
                   " bytes are free, which are kept for " +
                   (expendable ? "objects that are needed more" : "deletions and for changes that do not grow") +
                   ". Free some space");
}

bool SqliteLog::free_reserve() const {
  if (::unlink((path_ + kReserveSuffix).c_str()) != 0) return false;
  log_warning("store", "the disk is full: the reserve is used", {{"reserve", path_ + kReserveSuffix}});
  return true;
}

void SqliteLog::pass_to_writer(BatchJob job) {
  {
    std::lock_guard<std::mutex> guard(mutex_);
    job_ = std::move(job);
  }
  work_.notify_one();
}

void SqliteLog::run_writer() {
  std::unique_lock<std::mutex> guard(mutex_);
  while (true) {
    work_.wait(guard, [this] { return stopping_ || job_; });
    if (!job_) return;  // a batch that was passed to the writer is still written
    BatchJob job = std::move(*job_);
    job_.reset();
    guard.unlock();
    Status status = make_durable(job);
    // If the batch has many answers, another batch follows at once and must not wait for their callbacks to run here.
    const bool is_single = job.batch->writes.size() == 1;
    answer(std::move(job), std::move(status), is_single, nullptr);
    guard.lock();
  }
}

bool SqliteLog::write_single(IoHelper& helper, BatchJob& job, bool& in_progress) {
  Status status;
  if (in_progress) {
    std::optional<std::int64_t> result = write_.result();
    if (!result) return false;
    status = active_->finish_append(encoded_, *result);
  } else {
    status = encode(job);
    if (status.ok()) status = injected_fault();
    in_progress = status.ok() && active_ && active_->start_append(encoded_, write_, helper.wake_fd());
    if (in_progress) return false;
    if (status.ok()) {  // the batch does not fit, or the file system has no direct writes
      std::lock_guard<std::mutex> guard(mutex_);
      job_ = std::move(job);
      work_.notify_one();
      helper_has_batch_ = false;
      helper_done_.notify_one();
      return true;
    }
  }
  answer(std::move(job), std::move(status), true, &helper);
  return true;
}

// If an I/O helper answers, the log may be destroyed once the mutex is released.
void SqliteLog::answer(BatchJob job, Status status, bool may_run, IoHelper* helper) {
  log_metrics().seconds.observe(std::chrono::duration<double>(runtime_.monotonic() - job.begun).count());
  if (!status.ok()) log_error("store", "writes failed", {{"reason", status.error().message}});
  Runtime& runtime = runtime_;
  {
    std::lock_guard<std::mutex> guard(mutex_);
    helper_has_batch_ = false;
    helper_done_.notify_one();
    if (active_) {
      log_metrics().journal.set(static_cast<std::int64_t>(active_->used()));
      if (active_->used() > active_->room() / 2 && !spare_ && !full_ && last_attempt_.ok()) wake_mover();
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

Status SqliteLog::make_durable(const BatchJob& job) {
  BERTH_TRY(encode(job));
  // A batch larger than a journal gets a journal of its own.
  if (!active_ || (!active_->fits(encoded_) && !active_->empty())) BERTH_TRY(switch_to_spare());
  BERTH_TRY(injected_fault());
  return active_->append(encoded_);
}

Status SqliteLog::encode(const BatchJob& job) {
  using Kind = JournalEntry::Kind;
  encoded_.clear();
  for (const PendingWrite& write : job.batch->writes) {
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

// Called when the active journal is full, or when there is none yet.
Status SqliteLog::switch_to_spare() {
  std::unique_lock<std::mutex> guard(mutex_);
  if (!spare_) {
    const std::uint64_t before = attempts_;
    wake_mover();
    mover_yields_ = false;
    moved_.wait(guard, [&] { return spare_ || attempts_ != before; });
    mover_yields_ = true;
    if (!spare_) return error(Code::kUnavailable, last_attempt_.error().message);
  }
  if (active_) {
    // Only this thread uses the spare and the active journal.
    guard.unlock();
    BERTH_TRY(active_->write_end());
    guard.lock();
  }
  full_ = std::exchange(active_, std::move(spare_));
  if (full_) wake_mover();
  return ok_status();
}

void SqliteLog::wake_mover() {
  move_requested_ = true;
  mover_.notify_one();
}

void SqliteLog::update_witness(Revision revision) const {
  write_witness(witness_, {file_->identity(), file_->generation(), revision});
}

void SqliteLog::run_mover() {
  std::unique_lock<std::mutex> guard(mutex_);
  while (true) {
    mover_.wait(guard, [this] { return writer_ended_ || move_requested_; });
    if (writer_ended_) return;
    move_requested_ = false;
    if (spare_) continue;
    Journal full = std::move(full_), fresh;
    guard.unlock();
    Status status = move_and_create(full, fresh);
    if (!status.ok() && disk_space_at(path_).free < kReserveBytes && free_reserve())
      status = move_and_create(full, fresh);
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

Status SqliteLog::move_and_create(Journal& full, Journal& fresh) {
  if (full) {
    BERTH_TRY(file_->move(*full, &mover_yields_));
    fault::step("store.moved");
    update_witness(file_->newest());
    log_metrics().moves.add();
    full.reset();
  }
  const std::string path = path_ + kJournalSuffixes[newest_path_ == path_ + kJournalSuffixes[0] ? 1 : 0];
  const std::size_t room = newest_path_.empty() ? std::min(room_, kFirstRoom) : room_;
  BERTH_ASSIGN(Journal created, JournalFile::create(path, file_->identity(), newest_generation_ + 1, room));
  if (!file_->has_journal()) BERTH_TRY(file_->record_journal_created());
  fault::step("store.spare");
  ++newest_generation_;
  newest_path_ = path;
  fresh = std::move(created);
  return ok_status();
}

void SqliteLog::stop_threads() {
  BERTH_CHECK(writer_thread_.get_id() != std::this_thread::get_id() && !runtime_.io_helper(),
              "a store is destroyed by a thread that it waits for");
  lifetime_.end();
  {
    std::unique_lock<std::mutex> guard(mutex_);
    helper_done_.wait(guard, [this] { return !helper_has_batch_; });
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

// Moves all entries into the database, which is then the complete store, in one file.
void SqliteLog::close(Revision last) {
  stop_threads();
  const JournalFile* newest = active_ ? active_.get() : spare_.get();
  Status status;
  if (full_) status = file_->move(*full_);
  if (status.ok() && (newest || last != file_->reserved())) status = file_->close(newest, last);
  if (!status.ok()) {
    // The journals remain, and are read at the next start.
    log_warning("store", "closing", {{"reason", status.error().message}});
    return;
  }
  fault::step("store.closed");
  update_witness(last);
  for (const char* suffix : kJournalSuffixes) {
    fault::step("store.emptied");
    ::unlink((path_ + suffix).c_str());
  }
}

}  // namespace berth::store
