#pragma once
// Opening a store on disk. StoreGuard: evidence outside the store's files that is checked.

#include <string>

#include "store/loss.h"
#include "store/store.h"

namespace berth::store {

struct StoreGuard {
  std::string witness;      // a file outside the store's directory (witness.h); empty: none
  bool had_pods = false;    // files beside the store show that there was one
  AcceptedLosses accepted;  // losses that the user accepts
  std::string up = kUp;     // the command that accepts a loss, for error messages
};

// open_sqlite_store() that also refuses a store that was emptied, or is not the one that was opened last. Each Loss is
// an error until it is accepted, and the store's files are not modified before that (except -shm and an empty -wal,
// which SQLite creates, and the lock). The error names all losses, so that one command accepts them.
Result<std::unique_ptr<Store>> open_guarded_store(Runtime& runtime, const std::string& path, const StoreLimits& limits,
                                                  const StoreGuard& guard);

}  // namespace berth::store
