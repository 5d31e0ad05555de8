#include <algorithm>

#include "controllers/shared/set_identity.h"
#include "sim/checkers/checkers.h"

namespace berth::sim {
namespace {

using namespace api::resources;  // NOLINT
using namespace controllers;     // NOLINT

class Waits final : public Checker {
 public:
  explicit Waits(Truth& truth) : truth_(truth) {}
  std::string name() const override { return "waits"; }

  void at_rest() override {
    for (const auto& [name, set] : truth_.all(kStatefulSets)) {
      if (!api::is_terminating(set)) check(shape_of(set), api::condition_of(set, "Progressing"));
    }
  }

 private:
  void check(const Shape& shape, const Value& condition) {
    std::string first = first_missing(shape);
    if (first.empty()) first = last_surplus(shape);
    const std::string said = condition.is_null() ? "nothing" : json::encode(condition);
    if (first.empty()) {
      if (!condition.is_null() && condition["status"].as_string() != "True")
        truth_.violation(name(), shape.name + " has all it wants and says " + said);
      return;
    }
    for (const char* field : {"status", "reason", "message", "lastTransitionTime"}) {
      if (!condition[field].as_string().empty()) continue;
      truth_.violation(name(), shape.name + " waits for " + first + " and says " + said);
      return;
    }
    if (condition["message"].as_string().find(first) == std::string_view::npos)
      truth_.violation(name(), shape.name + " waits for " + first + " and says " + said);
  }
  // The first member that is not there, or not available.
  std::string first_missing(const Shape& shape) const {
    for (int ordinal : shape.ordinals()) {
      const std::string pod = pod_name(shape, ordinal);
      const Value& found = truth_.get(kPods, {shape.ns, pod});
      if (!state_of(found, shape.min_ready_seconds, truth_.world().now()).available) return pod;
    }
    return {};
  }

  // Otherwise the last one that is too many, which has to go first.
  std::string last_surplus(const Shape& shape) const {
    int last = -1;
    for (const auto& [name, pod] : truth_.all(kPods)) {
      const Member member = parse_member(name.name);
      if (name.ns == shape.ns && member.parent == shape.name && !shape.in_range(member.ordinal))
        last = std::max(last, member.ordinal);
    }
    return last < 0 ? std::string() : pod_name(shape, last);
  }

  Truth& truth_;
};

}  // namespace

std::unique_ptr<Checker> check_waits(Truth& truth) { return std::make_unique<Waits>(truth); }

}  // namespace berth::sim
