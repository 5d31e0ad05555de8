#pragma once
// Witness: a small file outside of the store's directory, by which a store that was emptied, or put back from an older
// copy, is told from the one that was here last. Written when a store is opened, when a journal has been moved and at
// an orderly end, never for a single write; always after what it tells of is on disk, so that no crash makes it ahead
// of the store.

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "store/store.h"

namespace berth::store {

struct Witness {
  std::int64_t identity = 0;    // of the database
  std::int64_t generation = 0;  // it had reached
  Revision revision = 0;        // that was certainly handed out, or reserved, on disk
  bool operator==(const Witness&) const = default;
};

// Empty: there is none, or none that can be read, which is logged.
std::optional<Witness> read_witness(const std::string& path);
// Where it cannot be written, what is there stays, which is logged: it still tells the truth, of an earlier time.
void write_witness(const std::string& path, const Witness& witness);

}  // namespace berth::store
