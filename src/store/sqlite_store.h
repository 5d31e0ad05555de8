#pragma once
// Opening a store on disk. Guard: what that takes into account beside the files of the store.

#include <string>

#include "store/loss.h"
#include "store/store.h"

namespace berth::store {

struct Guard {
  std::string witness;      // a file outside of the store's directory (witness.h); empty: none is kept
  bool lived_here = false;  // other things beside the store show that there was one
  AcceptedLosses accepted;  // what the user has decided to go on after
  std::string up = kUp;     // the command that accepts a loss, as errors name it
};

// open_sqlite_store() that also refuses a store that was emptied, or is not the one that was here last. Each Loss is an
// error until it is accepted, and the files of the store are as they were then (beside them SQLite makes -shm and an
// empty -wal, and there is the lock). An error names all losses that there are, so that one answer accepts them.
Result<std::unique_ptr<Store>> open_guarded_store(Runtime& runtime, const std::string& path, const Limits& limits,
                                                  const Guard& guard);

}  // namespace berth::store
