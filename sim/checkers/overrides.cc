#include "api/set_options.h"
#include "base/text.h"
#include "controllers/shared/set_identity.h"
#include "sim/checkers/checkers.h"
#include "sim/checkers/expected_state.h"

namespace berth::sim {
namespace {

using namespace api::resources;  // NOLINT

bool contains(std::string_view range, int ordinal) {
  const std::size_t dash = range.find('-');
  const auto first = parse_int(range.substr(0, dash));
  const auto last = dash == std::string_view::npos ? first : parse_int(range.substr(dash + 1));
  return first.value() <= ordinal && ordinal <= last.value();
}

// The fields that may differ between pods, for one of them: template and overrides merged field by field.
struct ExpectedTemplate {
  ExpectedTemplate(const Value& pod_template, const Value& set, int ordinal) : ExpectedTemplate(pod_template["spec"]) {
    const std::string_view text = api::annotation_of(set, api::kOrdinalOverrides);
    const Value all = text.empty() ? Value() : json::parse(text).value();
    for (const auto& [range, change] : all.entries()) {
      if (!contains(range, ordinal)) continue;
      const Value& container = change["containers"][0];
      if (container.contains("image")) image = container["image"].str();
      if (!container["resources"]["limits"]["cpu"].is_null()) cpu = container["resources"]["limits"]["cpu"].str();
      for (const Value& one : container["env"]) env[one["name"].str()] = one["value"].str();
      for (const auto& [key, value] : change["nodeSelector"].entries()) nodes[std::string(key)] = value.str();
    }
  }
  explicit ExpectedTemplate(const Value& spec) {
    const Value& container = spec["containers"][0];
    image = container["image"].str();
    cpu = container["resources"]["limits"]["cpu"].str();
    for (const Value& one : container["env"]) env[one["name"].str()] = one["value"].str();
    for (const auto& [key, value] : spec["nodeSelector"].entries()) nodes[std::string(key)] = value.str();
  }
  bool operator==(const ExpectedTemplate&) const = default;

  std::string image, cpu;
  std::map<std::string, std::string> env, nodes;
};

class Overrides final : public Checker {
 public:
  explicit Overrides(Truth& truth) : truth_(truth), expected_(truth) {}
  std::string name() const override { return "overrides"; }

  void on_change(const ObjectChange& change) override {
    expected_.on_change(change);
    if (change.resource != kPods || !change.before.is_null()) return;
    const Value& pod = change.after;
    const Value& set = owner_of(truth_, pod);
    const std::string revision(api::label_of(pod, controllers::kRevisionLabel));
    const Value& data = truth_.get(kControllerRevisions, {std::string(api::namespace_of(pod)), revision})["data"];
    if (set.is_null() || data.is_null()) return;
    const ExpectedTemplate looks(pod["spec"]);
    const bool wrong = expected_.all(set, [&](const ExpectedVersion& version) {
      return looks != ExpectedTemplate(data["spec"]["template"], version.set, ordinal_of(pod));
    });
    if (wrong) truth_.violation(name(), std::string(api::name_of(pod)) + " was not made as its ordinal asks for");
  }

  void at_rest() override {
    for (const auto& [name, pod] : truth_.all(kPods)) {
      const Value& set = owner_of(truth_, pod);
      if (set.is_null() || api::is_terminating(set) || has_hopeless(truth_, set)) continue;
      if (!ExpectedVersion(set).updates(ordinal_of(pod))) continue;
      if (ExpectedTemplate(pod["spec"]) != ExpectedTemplate(set["spec"]["template"], set, ordinal_of(pod)))
        truth_.violation(this->name(), name.name + " is not as its ordinal asks for");
    }
  }

 private:
  Truth& truth_;
  ExpectedState expected_;
};

}  // namespace

std::unique_ptr<Checker> check_overrides(Truth& truth) { return std::make_unique<Overrides>(truth); }

}  // namespace berth::sim
