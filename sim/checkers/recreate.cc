#include "controllers/shared/set_identity.h"
#include "sim/checkers/checkers.h"
#include "sim/checkers/expected_state.h"

namespace berth::sim {
namespace {

using namespace api::resources;  // NOLINT

class Recreate final : public Checker {
 public:
  explicit Recreate(Truth& truth) : truth_(truth), expected_(truth) {}
  std::string name() const override { return "recreate"; }

  void on_change(const ObjectChange& change) override {
    expected_.on_change(change);
    if (change.resource != kPods || !change.before.is_null()) return;
    const Value& set = owner_of(truth_, change.after);
    if (set.is_null()) return;
    const int ordinal = ordinal_of(change.after);
    std::string in_the_way;
    const bool wrong = expected_.all(set, [&](const ExpectedVersion& version) {
      if (!version.recreate || !version.updates(ordinal)) return false;
      in_the_way = other_revision(version, change.after);
      return !in_the_way.empty();
    });
    if (wrong)
      truth_.violation(name(),
                       std::string(api::name_of(change.after)) + " was made before " + in_the_way + " had ended");
  }

 private:
  // The name of a pod of another revision that the update must replace and that all caches contain.
  std::string other_revision(const ExpectedVersion& version, const Value& made) const {
    using controllers::kRevisionLabel;
    const Duration long_ago = truth_.world().elapsed() - truth_.slack();
    for (const auto& [name, pod] : truth_.all(kPods)) {
      if (!api::is_controlled_by(pod, api::uid_of(version.set)) || !version.updates(ordinal_of(pod))) continue;
      if (api::label_of(pod, kRevisionLabel) == api::label_of(made, kRevisionLabel)) continue;
      const PodHistory& history = truth_.history(name);
      if (std::max(history.since, history.owned_since) <= long_ago) return name.name;
    }
    return {};
  }

  Truth& truth_;
  ExpectedState expected_;
};

}  // namespace

std::unique_ptr<Checker> check_recreate(Truth& truth) { return std::make_unique<Recreate>(truth); }

}  // namespace berth::sim
