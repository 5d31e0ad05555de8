#pragma once
// Disk: what a simulated API server's store has written. It outlives the server: the real store (its queue, its group
// commit, its history and watches) runs over it, and finds after a crash what a real disk would hold: everything
// acknowledged, nothing that was refused, and of the batch that was under way all or nothing, as chance has it.

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "sim/sim_runtime.h"
#include "store/store.h"

namespace berth::sim {

struct DiskFaults {
  double refused = 0;        // a batch that is not written, and said so
  Duration latency = 200us;  // of one batch, at most
  bool lies = false;  // a planted bug: acknowledges before it writes, and a crash loses what was acknowledged last
};

class Disk {
 public:
  explicit Disk(World& world);
  ~Disk();
  Disk(const Disk&) = delete;

  DiskFaults& faults();

  // What is there, as a store of the process `lane`. The one before must have been given up by crash() or close().
  std::unique_ptr<store::Store> open(Lane& lane);

  // The server's process dies. What it still asks for from now on is not done.
  void crash();
  // It ends in good order: a batch that was handed over is written.
  void close();
  // The uids of objects whose deletion was written by the last crash() or close() without being acknowledged.
  const std::set<std::string>& deleted_at_the_end() const;

  // While no server runs: what is on it is as `change` makes it, for objects that it answers something for.
  void rewrite(const std::function<Value(const Value& object)>& change);

  struct State;

 private:
  void end(bool write_pending, bool orderly);
  std::shared_ptr<State> state_;
};

}  // namespace berth::sim
