#include <map>
#include <string>

#include "api/metadata.h"
#include "api/set_options.h"
#include "controllers/shared/set_identity.h"
#include "sim/checkers/checkers.h"
#include "sim/checkers/expected_state.h"

namespace berth::sim {
namespace {

using namespace api::resources;  // NOLINT

bool is_ordered(const Value& set) { return api::annotation_of(set, api::kOrderedTeardown) == "true"; }

class Teardown final : public Checker {
 public:
  explicit Teardown(Truth& truth) : truth_(truth) {}
  std::string name() const override { return "teardown"; }

  void on_change(const ObjectChange& change) override {
    if (change.resource == kStatefulSets) return remember(change);
    if (change.resource == kPods && deletion_started(change) && !truth_.excused(api::uid_of(change.before)))
      judge(change.before);
  }

 private:
  struct SetLife {
    Value set;  // the last version
    bool gone = false;
    Duration ordered_since = Duration::max();  // when the annotation was added
    Duration ending_since = Duration::max();
  };

  void remember(const ObjectChange& change) {
    const Value& set = change.after.is_null() ? change.before : change.after;
    SetLife& life = lives_[std::string(api::uid_of(set))];
    const Duration now = truth_.world().elapsed();
    life.gone = change.after.is_null();
    life.set = set;
    if (!is_ordered(set)) {
      life.ordered_since = Duration::max();
    } else if (life.ordered_since == Duration::max()) {
      life.ordered_since = now;
    }
    if ((life.gone || api::is_terminating(set)) && life.ending_since == Duration::max()) life.ending_since = now;
  }

  void judge(const Value& pod) const {
    const std::string owner = api::controller_of(pod)["uid"].str();
    const auto found = lives_.find(owner);
    if (found == lives_.end()) return;
    const SetLife& life = found->second;
    if (life.ending_since == Duration::max() || api::has_finalizer(life.set, "orphan")) return;
    // The option must have been set in time for all caches, and not unset since.
    const Duration slack = truth_.slack(), now = truth_.world().elapsed();
    if (life.ordered_since > life.ending_since - slack) return;
    const PodHistory& history = truth_.history(api::name_key(pod));
    // Created or adopted by a controller that did not know of the deletion yet.
    if (std::max(history.since, history.owned_since) > life.ending_since - slack && life.gone) return;
    const std::string who(api::name_of(pod));
    if (life.gone) return truth_.violation(name(), who + " was ended without its turn, after its set was gone");
    // Or replaced or removed by such a controller.
    if (now - life.ending_since < slack && may_go_alive(pod, life.set)) return;
    for (const auto& [other_name, other] : truth_.all(kPods)) {
      if (api::controller_of(other)["uid"].as_string() != owner || ordinal_of(other) <= ordinal_of(pod)) continue;
      const PodHistory& its = truth_.history(other_name);
      if (std::max(its.since, its.owned_since) > now - slack) continue;
      return truth_.violation(name(), who + " was ended before " + other_name.name + " was gone");
    }
  }

  bool may_go_alive(const Value& pod, const Value& set) const {
    if (api::is_pod_terminal(pod) || !api::is_pod_ready(pod)) return true;
    if (truth_.world().elapsed() - truth_.spec_changed_at(api::name_key(set)) < truth_.slack()) return true;
    if (!ExpectedVersion(set).wants(ordinal_of(pod))) return true;
    const std::string_view revision = api::label_of(pod, controllers::kRevisionLabel);
    return revision != set["status"]["updateRevision"].as_string() ||
           set["status"]["updatedReplicas"].as_int() != set["spec"]["replicas"].as_int();
  }

  Truth& truth_;
  std::map<std::string, SetLife> lives_;  // by the set's uid
};

}  // namespace

std::unique_ptr<Checker> check_teardown(Truth& truth) { return std::make_unique<Teardown>(truth); }

}  // namespace berth::sim
