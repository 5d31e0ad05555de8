#pragma once
// Loss: ways in which a store on disk can be without writes that it had acknowledged. Each has a name, by which opening
// refuses it, and by which the user may decide to go on with what is left: `berth up --accept-loss=NAME`.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace berth::store {

enum class Loss {
  kJournalShortened,  // the file is shorter than it was made
  kJournalZeroed,     // zeros where no zeros were ever written
  kJournalDamaged,    // a batch in the middle, or the mark at its end, cannot be read
  kJournalMissing,    // a journal that must be there is not, or has no readable head
  kStoreEmptied,      // no database, though one was here
  kStoreOlder,        // a state that this data directory had left behind
  kStoreForeign,      // the database of another cluster
};
std::string_view name_of(Loss loss);
std::optional<Loss> loss_named(std::string_view name);
std::string loss_names();  // all of them, with commas

inline constexpr const char* kUp =
    "berth up";  // the command that accepts a loss, of a cluster in the default directory

struct LossFound {
  Loss loss;
  std::string path;  // of the file that shows it
  std::string what;  // "is shorter than ...": goes behind the path
};
// Says what was found, what it means and what can be done: by one call of `up`, whatever it takes to accept all of it.
Error to_error(const std::vector<LossFound>& found, std::string_view up = kUp);
inline Error to_error(const LossFound& found) { return to_error(std::vector{found}); }

// The losses that the user has decided to live with.
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
