#include <map>

#include "sim/checkers/checkers.h"

namespace berth::sim {
namespace {

class Identity final : public Checker {
 public:
  explicit Identity(Truth& truth) : truth_(truth) {}
  std::string name() const override { return "identity"; }
  void on_process(const std::string& pod, const std::string& uid, const std::string& node, bool alive) override {
    auto& living = living_[pod];
    if (!alive) {
      living.erase(uid);
      return;
    }
    for (const auto& [other, where] : living) {
      if (other != uid) {
        truth_.violation(
            name(), "two live processes of " + pod + ": " + other + " on " + where + " and " + uid + " on " + node);
      }
    }
    living[uid] = node;
  }

 private:
  Truth& truth_;
  std::map<std::string, std::map<std::string, std::string>> living_;  // pod -> uid -> node
};

}  // namespace

std::unique_ptr<Checker> check_identity(Truth& truth) { return std::make_unique<Identity>(truth); }

void add_all_checkers(Truth& truth) {
  truth.add(check_identity(truth));
  truth.add(check_order(truth));
  truth.add(check_budget(truth));
  truth.add(check_partition(truth));
  truth.add(check_claims(truth));
  truth.add(check_status(truth));
  truth.add(check_waits(truth));
  truth.add(check_places(truth));
  truth.add(check_teardown(truth));
  truth.add(check_overrides(truth));
  truth.add(check_recreate(truth));
  truth.add(check_growth(truth));
  truth.add(check_disruption(truth));
  truth.add(check_reuse(truth));
  truth.add(check_churn(truth));
}

}  // namespace berth::sim
