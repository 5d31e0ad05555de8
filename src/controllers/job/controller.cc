#include "controllers/job/controller.h"

#include <map>

#include "api/selector.h"
#include "controllers/job/plan.h"
#include "controllers/job/pods.h"

namespace berth::controllers::job {
namespace {

using namespace api::resources;  // NOLINT

constexpr std::string_view kStray = "pod/";  // keys "namespace/pod/name" name pods; keys of jobs have one slash

bool affects_plan(const Value& before, const Value& after) {
  if (before.is_null() || after.is_null()) return true;
  const Value &old = before["metadata"], &metadata = after["metadata"];
  for (const char* field : {"deletionTimestamp", "labels", "ownerReferences", "finalizers"}) {
    if (old[field] != metadata[field]) return true;
  }
  return before["status"]["phase"] != after["status"]["phase"] ||
         api::condition_of(before, "Ready") != api::condition_of(after, "Ready") ||
         before["status"]["containerStatuses"] != after["status"]["containerStatuses"] ||
         before["status"]["initContainerStatuses"] != after["status"]["initContainerStatuses"];
}

class JobController final : public Controller {
 public:
  explicit JobController(InformerSet& informers) : jobs_(informers.get(kJobs)), pods_(informers.get(kPods)) {
    pods_.add_index(index::kOwner, index::by_owner);
    pods_.add_index(index::kOrphans, index::by_orphan_namespace);
  }
  std::string name() const override { return "job"; }
  std::string component() const override { return "job-controller"; }

  std::vector<WatchedCollection> watches() override {
    std::vector<WatchedCollection> out;
    out.push_back(watch_mapped(jobs_, [this](const Value& before, const Value& after, Keys& keys) {
      const Value& job = after.is_null() ? before : after;
      keys.push_back(key_of(job));
      if (!after.is_null() && !is_finished(after)) return;
      removed_failures_.erase(std::string(api::uid_of(job)));
      for (const Value& pod : pods_.by_index(index::kOwner, std::string(api::uid_of(job)))) add_stray(pod, keys);
    }));
    WatchedCollection owners = watch_owner(pods_, "batch", "Job");
    out.push_back(watch_mapped(
        pods_, [this, by_owner = std::move(owners.mapping)](const Value& before, const Value& after, Keys& keys) {
          if (!affects_plan(before, after)) return;
          by_owner(before, after, keys);
          record_removed_failure(before, after);
          if (after.is_null()) return;
          if (!api::controller_of(after).is_null()) {
            const Value& owner = owner_of(after);
            if (owner.is_null() || is_finished(owner)) add_stray(after, keys);
            return;
          }
          add_stray(after, keys);
          for (const Value& job : jobs_.list(api::namespace_of(after))) {
            const auto selector = api::LabelSelector::of_object(job["spec"]["selector"]);
            if (selector.ok() && selector->matches(api::labels_of(after))) keys.push_back(key_of(job));
          }
        }));
    return out;
  }

  Plan plan(const std::string& key, Time now) override {
    const api::Name name = name_of_key(key);
    if (name.name.starts_with(kStray)) {
      const Value& pod = pods_.get(name.ns, name.name.substr(kStray.size()));
      return plan_stray_pod(pod, owner_of(pod));
    }
    JobView view;
    view.job = jobs_.get(name);
    if (view.job.is_null()) return {};
    view.pods = pods_.by_index(index::kOwner, std::string(api::uid_of(view.job)));
    view.orphans = pods_.by_index(index::kOrphans, name.ns);
    if (const auto failures = removed_failures_.find(std::string(api::uid_of(view.job)));
        failures != removed_failures_.end()) {
      std::map<std::string, Time> gone = failures->second;
      for (const Value& pod : view.pods) {
        const bool going = api::is_terminating(pod) && !is_tracked(pod);
        if (!going) gone.erase(std::string(api::uid_of(pod)));
      }
      for (const auto& [uid, when] : gone) view.removed_failures.push_back(when);
    }
    return plan_job(view, now);
  }

  Value object_of_key(const std::string& key, const Informer&) const override {
    const api::Name name = name_of_key(key);
    return name.name.starts_with(kStray) ? pods_.get(name.ns, name.name.substr(kStray.size())) : jobs_.get(name);
  }

 private:
  // A failed pod that loses its finalizer is counted and may be gone before the next plan; the delay of its replacement
  // needs its end time.
  void record_removed_failure(const Value& before, const Value& after) {
    if (before.is_null() || !is_tracked(before) || is_tracked(after)) return;
    const Value& pod = after.is_null() ? before : after;
    const Value& job = owner_of(pod);
    if (!job.is_null() && !is_finished(job) && has_failed(pod, job)) {
      removed_failures_[std::string(api::uid_of(job))][std::string(api::uid_of(pod))] = finished_at(pod);
    }
  }
  static void add_stray(const Value& pod, Keys& keys) {
    if (is_tracked(pod))
      keys.push_back(std::string(api::namespace_of(pod)) + "/" + std::string(kStray) + std::string(api::name_of(pod)));
  }
  // The job that controls the pod; null if there is none with the reference's uid.
  const Value& owner_of(const Value& pod) const {
    static const Value kNone;
    const Value& reference = api::controller_of(pod);
    if (reference["kind"].as_string() != "Job") return kNone;
    const Value& job = jobs_.get(api::namespace_of(pod), reference["name"].as_string());
    return api::uid_of(job) == reference["uid"].as_string() ? job : kNone;
  }

  Informer& jobs_;
  Informer& pods_;
  std::map<std::string, std::map<std::string, Time>> removed_failures_;  // by the job's uid and the pod's
};

class ExpiryController final : public Controller {
 public:
  explicit ExpiryController(InformerSet& informers) : jobs_(informers.get(kJobs)) {}
  std::string name() const override { return "ttl-after-finished"; }
  std::string component() const override { return "ttl-after-finished-controller"; }
  std::vector<WatchedCollection> watches() override {
    std::vector<WatchedCollection> out;
    out.push_back(watch_self(jobs_));
    return out;
  }
  Plan plan(const std::string& key, Time now) override { return plan_expiry(jobs_.get(name_of_key(key)), now); }

 private:
  Informer& jobs_;
};

}  // namespace

std::unique_ptr<Controller> make_controller(InformerSet& informers) {
  return std::make_unique<JobController>(informers);
}
std::unique_ptr<Controller> make_expiry_controller(InformerSet& informers) {
  return std::make_unique<ExpiryController>(informers);
}

}  // namespace berth::controllers::job
