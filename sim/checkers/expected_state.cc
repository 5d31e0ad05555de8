#include "sim/checkers/expected_state.h"

#include "api/set_options.h"
#include "base/text.h"
#include "controllers/shared/set_identity.h"

namespace berth::sim {

using namespace api::resources;  // NOLINT

ExpectedVersion::ExpectedVersion(const Value& from) : set(from) {
  const Value& spec = set["spec"];
  const Value& rolling = spec["updateStrategy"]["rollingUpdate"];
  replicas = static_cast<int>(spec["replicas"].as_int(1));
  start = static_cast<int>(spec["ordinals"]["start"].as_int());
  first_updated = start + static_cast<int>(rolling["partition"].as_int());
  on_delete = spec["updateStrategy"]["type"].as_string() == "OnDelete";
  recreate = api::annotation_of(set, api::kUpdateStrategy) == "Recreate";
  const std::string_view text = api::annotation_of(set, api::kSkipOrdinals);
  if (text.empty()) return;
  for (std::string_view part : split(text, ',')) {
    const std::size_t dash = part.find('-');
    const auto first = parse_int(part.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : parse_int(part.substr(dash + 1));
    for (auto i = first.value(); i <= last.value(); ++i) skipped_.at(static_cast<std::size_t>(i)) = true;
  }
}

std::vector<int> ExpectedVersion::ordinals() const {
  std::vector<int> out;
  for (int i = start; static_cast<int>(out.size()) < replicas; ++i) {
    if (!skips(i)) out.push_back(i);
  }
  return out;
}

bool ExpectedVersion::wants(int ordinal) const {
  if (ordinal < start || skips(ordinal)) return false;
  int before = 0;
  for (int i = start; i < ordinal; ++i) before += skips(i) ? 0 : 1;
  return before < replicas;
}

bool ExpectedVersion::has_option(std::string_view annotation) const {
  return api::annotation_of(set, annotation) == "true";
}

void ExpectedState::on_change(const ObjectChange& change) {
  if (change.resource != kStatefulSets || change.before.is_null() || change.after.is_null()) return;
  if (asks_the_same(change.before, change.after)) return;
  std::vector<EarlierVersion>& earlier = earlier_[std::string(api::uid_of(change.before))];
  const Duration now = truth_.world().elapsed();
  std::erase_if(earlier, [&](const EarlierVersion& one) { return one.until < now - truth_.slack(); });
  earlier.push_back({change.before, now});
}

std::vector<ExpectedVersion> ExpectedState::of(const Value& set) const {
  std::vector<ExpectedVersion> out{ExpectedVersion(set)};
  const auto found = earlier_.find(std::string(api::uid_of(set)));
  if (found == earlier_.end()) return out;
  for (const EarlierVersion& one : found->second) {
    if (one.until >= truth_.world().elapsed() - truth_.slack()) out.emplace_back(one.set);
  }
  return out;
}

const Value& owner_of(const Truth& truth, const Value& pod) {
  static const Value none;
  const Value& owner = api::controller_of(pod);
  if (owner["kind"].as_string() != "StatefulSet") return none;
  const Value& set = truth.get(kStatefulSets, {std::string(api::namespace_of(pod)), owner["name"].str()});
  return api::uid_of(set) == owner["uid"].as_string() ? set : none;
}

int ordinal_of(const Value& pod) { return controllers::parse_member_name(api::name_of(pod)).ordinal; }

bool has_hopeless(const Truth& truth, const Value& set) {
  for (const auto& [name, pod] : truth.all(kPods)) {
    const auto parent = controllers::parse_member_name(name.name).parent;
    if (name.ns == api::namespace_of(set) && parent == api::name_of(set) && truth.is_unrecoverable(pod)) return true;
  }
  return false;
}

bool deletion_started(const ObjectChange& change) {
  if (change.before.is_null() || api::is_terminating(change.before)) return false;
  return change.after.is_null() || api::is_terminating(change.after);
}

}  // namespace berth::sim
