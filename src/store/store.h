#pragma once
// Store: the durable, watchable, revisioned map that everything stands on. The contract is etcd's:
//
//   * One revision a write, strictly increasing, never reused, also across restarts and crashes.
//   * Compare-and-set: a write names the state it expects; otherwise Code::kConflict, and nothing happened.
//   * Acknowledged means on disk. A write is visible (get, list, watches) only from the moment it is durable, in
//     revision order; whatever was visible once is there after a crash.
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

using Revision = std::int64_t;  // 0: nothing was ever written

// One version of one object. Immutable and shared by the cache, the readers and all watchers.
struct Record {
  std::string key;
  Value value;               // with metadata.resourceVersion set
  Revision create_revision;  // of the first version of this incarnation of the key
  Revision mod_revision;     // of this version

  // The JSON encoding of `value`, made once at first use and shared. Any thread.
  const std::string& json() const { return *shared_json(); }
  // The same text for holders that outlive the record: holding it does not hold `value`, which takes several times as
  // much.
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
  RecordPtr
      previous;  // the version before; null for kAdded. Lets a selector watch turn "no longer matches" into DELETED
  Revision revision;
};
using EventPtr = std::shared_ptr<const Event>;

struct Write {
  enum class Kind { kPut, kDelete };
  Kind kind = Kind::kPut;
  std::string key;
  Value value;  // for kPut; metadata.resourceVersion in it is ignored
  // What must hold of the newest submitted version of the key (see head()): -1 no condition, 0 the key does not exist,
  // otherwise exactly this mod_revision.
  Revision expected = -1;
  // Not written to disk: visible at once, gone after a restart, when the last durable version is back. For renewals of
  // leases and node heartbeats, which must not wake a disk. Takes a revision like any other write. A later durable
  // write of the key makes everything durable again.
  bool ephemeral = false;
  // The record's json() will be asked for: a log that encodes the value anyway leaves it there, made off the loop.
  bool keep_json = false;
  // The first to be refused, also where it does not grow, while space is short. For events.
  bool expendable = false;
};

struct Listing {
  std::vector<RecordPtr> records;  // in key order
  Revision revision = 0;           // the state they are a snapshot of
  bool more = false;               // a limit cut the answer
  std::size_t remaining = 0;       // how many were cut off
};
enum class Rest { kCounted, kNotCounted };  // whether `remaining` is wanted

// Receives a watch's events in order. Calls come from the loop, never from inside watch() or a Store call.
class WatchSink {
 public:
  virtual ~WatchSink() = default;
  // One or more events, in revision order. Returning false means "I am behind: stop": no further call of on_events is
  // made until Watch::resume(), and nothing is lost as long as the history reaches back.
  virtual bool on_events(const std::vector<EventPtr>& events) = 0;
  // Every event up to `revision` that concerns this watch has been delivered. Sent when asked for (bookmark()).
  virtual void on_progress(Revision revision) = 0;
  // The watch has ended: kExpired when it fell out of the history. No further call.
  virtual void on_end(const Error& error) = 0;
};

// Destroying the handle ends the watch; no callback follows.
class Watch {
 public:
  virtual ~Watch() = default;
  virtual void resume() = 0;    // after on_events returned false
  virtual void bookmark() = 0;  // ask for on_progress, in order with the events
};

class Store {
 public:
  virtual ~Store() = default;

  // The newest visible version, or null.
  virtual RecordPtr get(std::string_view key) const = 0;
  // The newest submitted version, durable or not, or null: what `expected` is compared with. Preconditions and patches
  // start from here, so that two writers in one group commit do not fail each other.
  virtual RecordPtr head(std::string_view key) const = 0;

  // The newest visible versions of all keys that start with `prefix`, from `start_after` (exclusive; empty: from the
  // beginning), at most `limit` (0: all).
  virtual Listing list(std::string_view prefix, std::size_t limit = 0, std::string_view start_after = {}) const = 0;
  // The same at a revision of the past, rebuilt from the history; kExpired where it has been compacted, kInvalid where
  // it lies in the future. Without `remaining`, a page costs its own records and the history after the revision.
  virtual Result<Listing> list_at(Revision revision, std::string_view prefix, std::size_t limit = 0,
                                  std::string_view start_after = {}, Rest rest = Rest::kCounted) const = 0;

  // Visible keys below a prefix. O(log n + matches' buckets) is fine; exact.
  virtual std::size_t count(std::string_view prefix) const = 0;

  using Done = Function<void(Result<RecordPtr>)>;
  // Submits one write. `done` is called on the loop, later, in revision order: with the new record (of a delete: the
  // last value, with the delete's revision), or kConflict / kNotFound (delete of a missing key), or kUnavailable
  // when the disk refused (nothing was stored; the store stays readable and tries again with the next write), or
  // kUnknown where it cannot be told. The comparison with `expected` happens during the call.
  virtual void write(Write write, Done done) = 0;

  // Events of keys that start with `prefix` with a revision greater than `after`. kExpired where the history no longer
  // reaches back that far. A revision in the future is waited for.
  virtual Result<std::unique_ptr<Watch>> watch(std::string prefix, Revision after, WatchSink* sink) = 0;

  virtual Revision revision() const = 0;  // newest visible
  // No key that starts with `prefix` has changed after this revision, which may be later than its last change.
  // O(folders below the prefix), a folder being what has its keys up to their last '/'.
  virtual Revision last_change(std::string_view prefix) const = 0;
  virtual Revision compacted() const = 0;  // the oldest revision that list_at, and watch as `after`, still answer for
  // Forgets history up to `revision` (clamped to what is visible). Backends also do so by themselves to stay bounded.
  virtual void compact(Revision revision) = 0;

  // Calls `done` when everything submitted so far is durable. For an orderly stop.
  virtual void flush(Task done) = 0;
};

struct Limits {
  std::size_t history_events = 20'000;  // kept for watches and list_at
  // Bytes of those events: of each version its JSON text, and what its value does not share with the version before.
  std::size_t history_bytes = 128u << 20;
  std::size_t max_value_bytes = 3u << 20;
  std::size_t journal_bytes = 8u << 20;  // of each of the two files that a store on disk appends to
};

// Forgets everything when destroyed. For tests and simulation. Acknowledges on the next turn of the loop.
std::unique_ptr<Store> open_memory_store(Runtime& runtime, const Limits& limits = {});

// `path` is the database file; it is created, opened and recovered here (blocking, at start-up). While the store is
// open, and after a crash, its newest writes are in `path`.journal-1 and -2; an orderly end moves them into the
// database. Errors: a file that is no database, damaged, missing, of a newer format, or in use by another process; the
// text says which, and what to do.
Result<std::unique_ptr<Store>> open_sqlite_store(Runtime& runtime, const std::string& path, const Limits& limits = {});

}  // namespace berth::store
