#include <set>

#include "sim/checkers/checkers.h"
#include "sim/checkers/expected_state.h"

namespace berth::sim {
namespace {

using namespace api::resources;  // NOLINT

class Places final : public Checker {
 public:
  explicit Places(Truth& truth) : truth_(truth), expected_(truth) {}
  std::string name() const override { return "places"; }

  void on_change(const ObjectChange& change) override {
    expected_.on_change(change);
    if (change.resource != kPods || !change.before.is_null()) return;
    const Value& set = owner_of(truth_, change.after);
    const int ordinal = ordinal_of(change.after);
    if (set.is_null() || !expected_.all(set, [&](const ExpectedVersion& version) { return !version.wants(ordinal); }))
      return;
    truth_.violation(name(), std::string(api::name_of(change.after)) + " was made, which is not wanted");
  }

  void at_rest() override {
    for (const auto& [name, set] : truth_.all(kStatefulSets)) {
      if (api::is_terminating(set) || has_hopeless(truth_, set)) continue;
      const std::vector<int> wanted = ExpectedVersion(set).ordinals();
      std::set<int> missing(wanted.begin(), wanted.end()), surplus;
      for (const auto& [pod_name, pod] : truth_.all(kPods)) {
        if (!api::is_controlled_by(pod, api::uid_of(set))) continue;
        if (missing.erase(ordinal_of(pod)) == 0) surplus.insert(ordinal_of(pod));
      }
      for (int ordinal : missing)
        truth_.violation(this->name(), name.name + "-" + std::to_string(ordinal) + " is missing");
      for (int ordinal : surplus)
        truth_.violation(this->name(), name.name + "-" + std::to_string(ordinal) + " is there and has no place");
    }
  }

 private:
  Truth& truth_;
  ExpectedState expected_;
};

}  // namespace

std::unique_ptr<Checker> check_places(Truth& truth) { return std::make_unique<Places>(truth); }

}  // namespace berth::sim
