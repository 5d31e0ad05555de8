#pragma once
// SqliteLog: the Log of a store on disk. A writer thread appends batches to a journal and acknowledges them; a lone
// write that comes from an I/O helper is appended there, without waiting. A mover thread moves full journals into the
// database, with one transaction each, and makes them ready for a new life. Two files take turns:
//
//      append                         move                    begin
//   active ──── full: the spare is ────────> in the database ───────> spare
//               the active one now
//
// The active journal is ended (journal_file.h) before the spare takes its place. So of the two that a crash leaves
// behind, the older one is complete or damaged, and a newer one that is missing is missed.
//
// Where the mover cannot go on (a full disk), writes are refused from the moment that both files are full, and each
// write makes it try again. Before it comes to that, while the disk is almost full, whatever adds to the store is
// refused, so that deletions still find room in the journals; and the mover has a file of its own, <path>.reserve,
// whose space it frees when it finds none, once.

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

// What a store left in its journals, oldest first. At most two hold anything.
struct Journals {
  std::unique_ptr<JournalFile> full;    // to be moved
  std::unique_ptr<JournalFile> active;  // to be appended to; null where a first one is to be begun
  // Numbers that the journals hold; 0 where they hold none.
  Revision reserved = 0, compacted = 0;
  // Set: there were more acknowledged writes than these. `full` and `active` are what is before the loss, and are not
  // to be appended to; `generation` is greater than any that was seen.
  std::optional<LossFound> loss;
  std::int64_t generation = 0;

  // Of the database at `path`. Errors: journals of another database, a newer format.
  static Result<Journals> find(const std::string& path, const SqliteFile& file);

 private:
  Status sort_out(const std::string& path, const SqliteFile& file);
  void look_for_loss(const std::string& path, const SqliteFile& file);
};

class SqliteLog final : public Log {
 public:
  // `room`: bytes of a journal. `witness`: see witness.h; empty: none.
  SqliteLog(Runtime& runtime, std::string path, std::unique_ptr<SqliteFile> file, Journals journals, std::size_t room,
            std::string witness = "");
  ~SqliteLog() override;

  void append(std::shared_ptr<const Batch> batch, Function<void(Status)> done) override;
  Revision reserved() const override { return reserved_; }
  std::optional<Error> no_room_to_grow(bool expendable) override;
  void close(Revision last) override;

 private:
  struct Job {
    std::shared_ptr<const Batch> batch;
    Revision reserve = 0;
    Function<void(Status)> done;
    Duration begun{};
  };
  using Journal = std::unique_ptr<JournalFile>;

  void hand_to_writer(Job job);
  void write_batches();
  Status make_durable(const Job& job);
  Status injected_fault() const;
  // A step of a lone write on an I/O helper: true when it has been answered, or handed to the writer.
  bool write_lone(IoHelper& helper, Job& job, bool& under_way);
  void answer(Job job, Status status, bool may_run, IoHelper* helper);
  Status encode(const Job& job);
  Status take_spare();
  void ask_mover();
  void move_when_asked();
  Status move_and_begin(Journal& full, Journal& fresh);
  bool spend_reserve() const;
  void tell_witness(Revision revision) const;
  void stop_threads();

  Runtime& runtime_;
  const std::string path_;
  const std::size_t room_;
  const std::string witness_;
  Revision reserved_;  // the loop's
  Lifetime lifetime_;
  bool disk_short_ = false;  // as last seen: too short for something
  Duration disk_seen_{};

  // Used by the thread that has the batch: the writer, or an I/O helper.
  JournalBatch encoded_;
  std::string json_;
  Journal active_;  // null until a first one is taken
  AsyncWrite write_;

  // The mover's, and close()'s.
  std::unique_ptr<SqliteFile> file_;
  std::int64_t begun_;       // generation of the newest journal
  std::string newest_path_;  // empty where there is none

  std::mutex mutex_;  // guards the rest
  std::condition_variable work_, mover_, moved_, lone_ended_;
  std::optional<Job> job_;
  Journal full_, spare_;
  bool mover_asked_ = false;
  std::atomic<bool> mover_gives_way_{true};  // without the mutex. False: a write waits for the mover
  std::uint64_t attempts_ = 0;               // of the mover
  Status last_attempt_;
  bool lone_ = false;  // an I/O helper has the batch
  bool stopping_ = false;
  bool writer_ended_ = false;  // until then it may wait for the mover
  std::thread writer_thread_, mover_thread_;
};

}  // namespace berth::store
