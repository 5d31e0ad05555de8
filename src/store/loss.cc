#include "store/loss.h"

#include <algorithm>

namespace berth::store {

namespace {

struct LossDescription {
  Loss loss;
  std::string_view name, meaning, going_on;
};

constexpr std::string_view kPrefix =
    "go on with the writes before that place; the journals are kept beside the store as .lost files";

constexpr LossDescription kDescriptions[] = {
    {Loss::kJournalShortened, "journal-shortened", "acknowledged writes may be missing", kPrefix},
    {Loss::kJournalZeroed, "journal-zeroed", "acknowledged writes may be missing", kPrefix},
    {Loss::kJournalDamaged, "journal-damaged", "acknowledged writes cannot be read", kPrefix},
    {Loss::kJournalMissing, "journal-missing", "the last acknowledged writes are not there", kPrefix},
    {Loss::kStoreEmptied, "store-emptied", "all objects of the cluster are gone", "start with an empty store"},
    {Loss::kStoreOlder, "store-older", "the writes since then are not there", "go on from the older state"},
    {Loss::kStoreForeign, "store-foreign", "the objects are those of another cluster", "take them over"},
};

const LossDescription& describe(Loss loss) {
  return *std::find_if(std::begin(kDescriptions), std::end(kDescriptions),
                       [loss](const LossDescription& each) { return each.loss == loss; });
}

}  // namespace

std::string_view name_of(Loss loss) { return describe(loss).name; }

std::optional<Loss> loss_named(std::string_view name) {
  for (const LossDescription& each : kDescriptions) {
    if (each.name == name) return each.loss;
  }
  return std::nullopt;
}

std::string loss_names() {
  std::string all;
  for (const LossDescription& each : kDescriptions) all += (all.empty() ? "" : ", ") + std::string(each.name);
  return all;
}

Error to_error(const std::vector<LossFound>& found, std::string_view up) {
  std::string text, names, going_on;
  for (const LossFound& each : found) {
    const LossDescription& about = describe(each.loss);
    text += each.path + " " + each.what + ": " + std::string(about.meaning) + " (" + std::string(about.name) + "). ";
    names += (names.empty() ? "" : ",") + std::string(about.name);
    if (going_on.find(about.going_on) == std::string::npos)
      going_on += (going_on.empty() ? "" : ", and ") + std::string(about.going_on);
  }
  text += "Nothing has been changed. Put back a copy of the store with all its files, or " + going_on + ": " +
          std::string(up) + " --accept-loss=" + names;
  return error(Code::kInternal, std::move(text));
}

bool AcceptedLosses::has(Loss loss) const { return std::find(losses_.begin(), losses_.end(), loss) != losses_.end(); }

bool AcceptedLosses::has_all(const std::vector<LossFound>& found) const {
  return std::all_of(found.begin(), found.end(), [this](const LossFound& each) { return has(each.loss); });
}

}  // namespace berth::store
