#pragma once
// Disk: the contents that a simulated API server's store has written. It outlives the server: the real store (queue,
// group commit, history, watches) runs over it, and after a crash it contains what a real disk would: everything
// acknowledged, nothing refused, and the batch in flight completely or not at all, at random.

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "sim/sim_runtime.h"
#include "store/store.h"

namespace berth::sim {

struct DiskFaults {
  double refused = 0;        // probability that a batch is refused
  Duration latency = 200us;  // upper limit, per batch
  bool lies = false;         // a planted bug: acknowledges before writing, so that a crash loses acknowledged writes
};

class Disk {
 public:
  explicit Disk(World& world);
  ~Disk();
  Disk(const Disk&) = delete;

  DiskFaults& faults();

  // Opens the contents as a store of the process `lane`. The earlier store must have been ended by crash() or close().
  std::unique_ptr<store::Store> open(Lane& lane);

  // The server's process dies. Its later requests have no effect.
  void crash();
  // The server stops in order: a batch in flight is written.
  void close();
  // The uids of objects whose deletion the last crash() or close() wrote without acknowledging it.
  const std::set<std::string>& deleted_at_the_end() const;

  // While no server runs: replaces each object by the result of `change`, unless that is null.
  void rewrite(const std::function<Value(const Value& object)>& change);

  struct State;

 private:
  void end(bool write_pending, bool orderly);
  std::shared_ptr<State> state_;
};

}  // namespace berth::sim
