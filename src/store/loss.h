#pragma once
// Loss: the ways in which a store on disk can lack acknowledged writes. Each has a name: opening the store fails with
// it, and the user can accept it: `berth up --accept-loss=NAME`.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace berth::store {

enum class Loss {
  kJournalShortened,  // the file is shorter than its recorded room
  kJournalZeroed,     // zeros where no zeros are ever written
  kJournalDamaged,    // a batch in the middle, or the kEnd at its end, cannot be read
  kJournalMissing,    // a required journal does not exist, or its head is invalid
  kStoreEmptied,      // no database, though there was one
  kStoreOlder,        // an older state than this data directory has had
  kStoreForeign,      // the database of another cluster
};
std::string_view name_of(Loss loss);
std::optional<Loss> loss_named(std::string_view name);
std::string loss_names();  // all of them, with commas

// The command that accepts a loss, for a cluster in the default directory.
inline constexpr const char* kUp = "berth up";

struct LossFound {
  Loss loss;
  std::string path;  // of the file with the evidence
  std::string what;  // "is shorter than ...": follows the path in the message
};
// Describes the losses, their meaning and the remedies, with one `up` command that accepts all of them.
Error to_error(const std::vector<LossFound>& found, std::string_view up = kUp);
inline Error to_error(const LossFound& found) { return to_error(std::vector{found}); }

// The losses that the user has accepted.
class AcceptedLosses {
 public:
  AcceptedLosses() = default;
  explicit AcceptedLosses(std::vector<Loss> losses) : losses_(std::move(losses)) {}
  bool has(Loss loss) const;
  bool has_all(const std::vector<LossFound>& found) const;

 private:
  std::vector<Loss> losses_;
};

}  // namespace berth::store
