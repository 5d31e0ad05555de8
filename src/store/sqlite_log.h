#pragma once
// SqliteLog: the WriteLog of a store on disk. A writer thread appends batches to a journal and acknowledges them; a
// single write that comes from an I/O helper is appended by that thread, without waiting. A mover thread moves full
// journals into the database, one transaction each, and prepares them for reuse. Two files alternate:
//
//      append                          move                    begin
//   active ──── full: the spare ────────> in the database ───────> spare
//               becomes active
//
// The active journal gets its kEnd (journal_file.h) before the spare replaces it. After a crash the older of the two
// journals is therefore complete or damaged, and the absence of a newer one is detected.
//
// If the mover cannot continue (full disk), writes are refused when both files are full, and each write makes the mover
// retry. Before that, while the disk is almost full, writes that grow the store are refused, so that deletions still
// find room in the journals; and the mover deletes a reserve file, <path>.reserve, once, when it finds no space.

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "base/lifetime.h"
#include "store/async_write.h"
#include "store/journal_file.h"
#include "store/queued_store.h"
#include "store/sqlite_file.h"

namespace berth::store {

// The journals of a store, oldest first. At most two contain entries.
struct Journals {
  std::unique_ptr<JournalFile> full;    // to be moved into the database
  std::unique_ptr<JournalFile> active;  // to be appended to; null if the first one must be created
  // Values of kReserve and kCompact entries; 0 if there are none.
  Revision reserved = 0, compacted = 0;
  // Set if acknowledged writes are missing: `full` and `active` then contain what precedes the loss and must not be
  // appended to; `generation` is greater than all generations found.
  std::optional<LossFound> loss;
  std::int64_t generation = 0;

  // Of the database at `path`. Fails for journals of another database or a newer format.
  static Result<Journals> find(const std::string& path, const SqliteFile& file);

 private:
  Status assign_files(const std::string& path, const SqliteFile& file);
  void find_loss(const std::string& path, const SqliteFile& file);
};

class SqliteLog final : public WriteLog {
 public:
  // `room`: size of a journal in bytes. `witness`: see witness.h; empty: none.
  SqliteLog(Runtime& runtime, std::string path, std::unique_ptr<SqliteFile> file, Journals journals, std::size_t room,
            std::string witness = "");
  ~SqliteLog() override;

  void append(std::shared_ptr<const WriteBatch> batch, Function<void(Status)> done) override;
  Revision reserved() const override { return reserved_; }
  std::optional<Error> no_room_to_grow(bool expendable) override;
  void close(Revision last) override;

 private:
  struct BatchJob {
    std::shared_ptr<const WriteBatch> batch;
    Revision reserve = 0;
    Function<void(Status)> done;
    Duration begun{};
  };
  using Journal = std::unique_ptr<JournalFile>;

  void pass_to_writer(BatchJob job);
  void run_writer();
  Status make_durable(const BatchJob& job);
  Status injected_fault() const;
  // One step of a single write on an I/O helper. Returns true when it was answered or passed to the writer.
  bool write_single(IoHelper& helper, BatchJob& job, bool& in_progress);
  void answer(BatchJob job, Status status, bool may_run, IoHelper* helper);
  Status encode(const BatchJob& job);
  Status switch_to_spare();
  void wake_mover();
  void run_mover();
  Status move_and_create(Journal& full, Journal& fresh);
  bool free_reserve() const;
  void update_witness(Revision revision) const;
  void stop_threads();

  Runtime& runtime_;
  const std::string path_;
  const std::size_t room_;
  const std::string witness_;
  Revision reserved_;  // used by the loop only
  Lifetime lifetime_;
  bool disk_short_ = false;  // at the last check the disk was too full for some writes
  Duration disk_checked_at_{};

  // Used by the thread that has the batch: the writer or an I/O helper.
  JournalBatch encoded_;
  std::string json_;
  Journal active_;  // null before the first one is taken
  AsyncWrite write_;

  // Used by the mover, and by close() after it.
  std::unique_ptr<SqliteFile> file_;
  std::int64_t newest_generation_;  // generation of the newest journal
  std::string newest_path_;         // empty if there is none

  std::mutex mutex_;  // guards all members below
  std::condition_variable work_, mover_, moved_, helper_done_;
  std::optional<BatchJob> job_;
  Journal full_, spare_;
  bool move_requested_ = false;
  std::atomic<bool> mover_yields_{true};  // not guarded. False: a write waits for the mover
  std::uint64_t attempts_ = 0;            // finished attempts of the mover
  Status last_attempt_;
  bool helper_has_batch_ = false;  // an I/O helper has the batch
  bool stopping_ = false;
  bool writer_ended_ = false;  // until then the writer may wait for the mover
  std::thread writer_thread_, mover_thread_;
};

}  // namespace berth::store
