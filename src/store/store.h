#pragma once
// Store: the durable, watchable, revisioned map that stores all API objects. The contract is etcd's:
//
//   * One revision per write, strictly increasing, never reused, also after restarts and crashes.
//   * Compare-and-set: a write names the state it expects; otherwise Code::kConflict, and nothing happened.
//   * Acknowledged means durable. A write is visible (get, list, watches) only once it is durable, in revision order; a
//     version that was visible once exists after a crash.
//   * Watches are ordered, unique, atomic, reliable and resumable: every event after the given revision once, or, when
//     that revision has been compacted, Code::kExpired.
//
// Threads: one Runtime (loop) owns a Store. All calls and callbacks are on its thread; reads answer at once from memory
// and never touch the disk. Group commit: writes submitted while one is being synced are synced together.
//
// Keys are "/registry/<group or core>/<resource>/<namespace>/<name>" (cluster-scoped kinds have no namespace part).
// Values are whole API objects; the store sets metadata.resourceVersion of what it hands out to the write's revision.

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/function.h"
#include "base/json/json.h"
#include "base/result.h"
#include "base/runtime.h"

namespace berth::store {

using Revision = std::int64_t;  // 0: before any write

// One version of one object. Immutable and shared by the cache, the readers and all watchers.
struct Record {
  std::string key;
  Value value;               // with metadata.resourceVersion set
  Revision create_revision;  // of the first version of this incarnation of the key
  Revision mod_revision;     // of this version

  // The JSON encoding of `value`, made once at first use and shared. Any thread.
  const std::string& json() const { return *shared_json(); }
  // The same text for holders that outlive the record: it does not keep `value` alive, which is several times as large.
  const std::shared_ptr<const std::string>& shared_json() const;

  Record(std::string key, Value value, Revision created, Revision modified);
  ~Record();
  Record(const Record&) = delete;

 private:
  mutable std::atomic<const std::shared_ptr<const std::string>*> json_{nullptr};
};
using RecordPtr = std::shared_ptr<const Record>;

enum class EventType { kAdded, kModified, kDeleted };

struct Event {
  EventType type;
  RecordPtr record;  // for kDeleted: the last value, with metadata.resourceVersion (and mod_revision) of the delete
  // The version before; null for kAdded. A watch with a selector turns "no longer matches" into DELETED with it.
  RecordPtr previous;
  Revision revision;
};
using EventPtr = std::shared_ptr<const Event>;

struct Write {
  enum class Kind { kPut, kDelete };
  Kind kind = Kind::kPut;
  std::string key;
  Value value;  // for kPut; metadata.resourceVersion in it is ignored
  // Precondition on the newest submitted version of the key (see head()): -1 none, 0 the key does not exist, otherwise
  // exactly this mod_revision.
  Revision expected = -1;
  // Not written to disk: visible at once; after a restart the last durable version is back. For lease renewals and node
  // heartbeats, which must not wake a disk. Has a revision like any other write. A later durable write of the key makes
  // the complete value durable.
  bool ephemeral = false;
  // json() of the record will be used: a log that encodes the value anyway stores the text there, off the loop.
  bool keep_json = false;
  // Refused first while disk space is short, even if the store does not grow. For events.
  bool expendable = false;
};

struct Listing {
  std::vector<RecordPtr> records;  // in key order
  Revision revision = 0;           // the state they are a snapshot of
  bool more = false;               // the limit cut the listing
  std::size_t remaining = 0;       // number of records cut off
};
enum class RemainingCount { kCounted, kNotCounted };  // whether `remaining` is computed

// Receives a watch's events in order. Calls come from the loop, never from inside watch() or a Store call.
class WatchSink {
 public:
  virtual ~WatchSink() = default;
  // One or more events, in revision order. Returning false pauses the watch: on_events is not called before
  // Watch::resume(), and no event is lost while the history reaches back.
  virtual bool on_events(const std::vector<EventPtr>& events) = 0;
  // Every event up to `revision` that matches this watch was delivered. The answer to bookmark().
  virtual void on_progress(Revision revision) = 0;
  // The watch ended: kExpired if the history does not reach back to it. No further calls.
  virtual void on_end(const Error& error) = 0;
};

// Destroying the handle ends the watch; no callback follows.
class Watch {
 public:
  virtual ~Watch() = default;
  virtual void resume() = 0;    // after on_events returned false
  virtual void bookmark() = 0;  // requests on_progress, in order with the events
};

class Store {
 public:
  virtual ~Store() = default;

  // The newest visible version, or null.
  virtual RecordPtr get(std::string_view key) const = 0;
  // The newest submitted version, durable or not, or null: the version that `expected` is compared with. Preconditions
  // and patches start from it, so that two writes of one key in a group commit both succeed.
  virtual RecordPtr head(std::string_view key) const = 0;

  // The newest visible versions of all keys that start with `prefix`, from `start_after` (exclusive; empty: from the
  // beginning), at most `limit` (0: all).
  virtual Listing list(std::string_view prefix, std::size_t limit = 0, std::string_view start_after = {}) const = 0;
  // The same at an earlier revision, rebuilt from the history; kExpired if that is compacted, kInvalid if the revision
  // is in the future. Without `remaining` a page costs its own records and the history after the revision.
  virtual Result<Listing> list_at(Revision revision, std::string_view prefix, std::size_t limit = 0,
                                  std::string_view start_after = {},
                                  RemainingCount rest = RemainingCount::kCounted) const = 0;

  // Number of visible keys below a prefix. O(log n + folders); exact.
  virtual std::size_t count(std::string_view prefix) const = 0;

  using Done = Function<void(Result<RecordPtr>)>;
  // Submits one write. `done` is called on the loop, later, in revision order: with the new record (for a delete: the
  // last value, with the delete's revision), or with kConflict, kNotFound (delete of a missing key), kUnavailable (the
  // disk refused: nothing was stored; the store remains readable and retries with the next write), or kUnknown (it may
  // have been stored). `expected` is compared during the call.
  virtual void write(Write write, Done done) = 0;

  // Events of keys with `prefix` and a revision greater than `after`. kExpired if the history does not reach back that
  // far. A revision in the future is allowed.
  virtual Result<std::unique_ptr<Watch>> watch(std::string prefix, Revision after, WatchSink* sink) = 0;

  virtual Revision revision() const = 0;  // newest visible
  // No key with `prefix` has changed after this revision, which may be later than its last change. O(folders below the
  // prefix); a folder contains the keys that are equal up to the last '/'.
  virtual Revision last_change(std::string_view prefix) const = 0;
  virtual Revision compacted() const = 0;  // the oldest revision that list_at accepts, and watch as `after`
  // Removes history up to `revision` (clamped to the newest visible). Backends also do so by themselves to limit
  // memory.
  virtual void compact(Revision revision) = 0;

  // Calls `done` when all earlier submitted writes are durable. For orderly shutdowns.
  virtual void flush(Task done) = 0;
};

struct StoreLimits {
  std::size_t history_events = 20'000;  // retained for watches and list_at
  // Size of those events: of each version its JSON text, and the part of its value not shared with the version before.
  std::size_t history_bytes = 128u << 20;
  std::size_t max_value_bytes = 3u << 20;
  std::size_t journal_bytes = 8u << 20;  // of each of the two journals
};

// A store in memory, for tests and simulation. Acknowledges in a later loop task.
std::unique_ptr<Store> open_memory_store(Runtime& runtime, const StoreLimits& limits = {});

// `path`: the database file; created, opened and recovered here (blocking, at start-up). While the store is open, and
// after a crash, its newest writes are in `path`.journal-1 and -2; an orderly shutdown moves them into the database.
// Fails if a file is no database, damaged, missing, of a newer format or used by another process; the message says
// which, and gives the remedy.
Result<std::unique_ptr<Store>> open_sqlite_store(Runtime& runtime, const std::string& path,
                                                 const StoreLimits& limits = {});

}  // namespace berth::store
