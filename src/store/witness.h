#pragma once
// Witness: a small file outside the store's directory that detects a store that was emptied or replaced by an older
// copy. Written when a store is opened, after a journal was moved, and at an orderly shutdown, never for a single
// write; always after the state that it describes is durable, so that after a crash the witness is not ahead of the
// store.

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "store/store.h"

namespace berth::store {

struct Witness {
  std::int64_t identity = 0;    // of the database
  std::int64_t generation = 0;  // reached by the store
  Revision revision = 0;        // used or reserved for certain, durably
  bool operator==(const Witness&) const = default;
};

// Empty if there is no readable witness; an unreadable one is logged.
std::optional<Witness> read_witness(const std::string& path);
// If writing fails, the old witness stays and the failure is logged: it is still true, for an earlier time.
void write_witness(const std::string& path, const Witness& witness);

}  // namespace berth::store
