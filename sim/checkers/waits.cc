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
      if (!api::is_terminating(set)) check(parse_set_spec(set), api::condition_of(set, "Progressing"));
    }
  }

 private:
  void check(const SetSpec& set_spec, const Value& condition) {
    std::string first = first_missing(set_spec);
    if (first.empty()) first = last_surplus(set_spec);
    const std::string said = condition.is_null() ? "nothing" : json::encode(condition);
    if (first.empty()) {
      if (!condition.is_null() && condition["status"].as_string() != "True")
        truth_.violation(name(), set_spec.name + " has all it wants and says " + said);
      return;
    }
    for (const char* field : {"status", "reason", "message", "lastTransitionTime"}) {
      if (!condition[field].as_string().empty()) continue;
      truth_.violation(name(), set_spec.name + " waits for " + first + " and says " + said);
      return;
    }
    if (condition["message"].as_string().find(first) == std::string_view::npos)
      truth_.violation(name(), set_spec.name + " waits for " + first + " and says " + said);
  }
  // The first replica without an available pod.
  std::string first_missing(const SetSpec& set_spec) const {
    for (int ordinal : set_spec.ordinals()) {
      const std::string pod = pod_name(set_spec, ordinal);
      const Value& found = truth_.get(kPods, {set_spec.ns, pod});
      if (!state_of(found, set_spec.min_ready_seconds, truth_.world().now()).available) return pod;
    }
    return {};
  }

  // The last surplus replica, which must be removed first.
  std::string last_surplus(const SetSpec& set_spec) const {
    int last = -1;
    for (const auto& [name, pod] : truth_.all(kPods)) {
      const MemberName member = parse_member_name(name.name);
      if (name.ns == set_spec.ns && member.parent == set_spec.name && !set_spec.in_range(member.ordinal))
        last = std::max(last, member.ordinal);
    }
    return last < 0 ? std::string() : pod_name(set_spec, last);
  }

  Truth& truth_;
};

}  // namespace

std::unique_ptr<Checker> check_waits(Truth& truth) { return std::make_unique<Waits>(truth); }

}  // namespace berth::sim
