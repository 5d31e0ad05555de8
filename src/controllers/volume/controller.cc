#include "controllers/volume/controller.h"

#include <algorithm>
#include <map>
#include <set>

#include "api/metadata.h"
#include "controllers/shared/live_reader.h"
#include "controllers/shared/local_volume.h"
#include "controllers/shared/volume_match.h"
#include "controllers/volume/claim_plan.h"
#include "controllers/volume/volume_plan.h"

namespace berth::controllers::volume {
namespace {

using namespace api::resources;  // NOLINT

const std::string kUnboundByClass = "unbound-by-class";
const std::string kClaimRef = "claim-ref";

void by_unbound_class(const Value& claim, std::vector<std::string>& keys) {
  if (!is_fully_bound(claim)) keys.emplace_back(class_of(claim));
}

std::string reference_key(const Value& volume) {
  const Value& reference = volume["spec"]["claimRef"];
  return reference.is_null() ? std::string() : reference["namespace"].str() + "/" + reference["name"].str();
}

void by_claim_reference(const Value& volume, std::vector<std::string>& keys) {
  const std::string key = reference_key(volume);
  if (!key.empty()) keys.push_back(key);
}

void add(Keys& keys, std::string key) {
  if (!key.empty() && std::find(keys.begin(), keys.end(), key) == keys.end()) keys.push_back(std::move(key));
}

// --- Claims

class ClaimController final : public Controller {
 public:
  explicit ClaimController(InformerSet& informers)
      : runtime_(informers.runtime()),
        claims_(informers.get(kPersistentVolumeClaims)),
        volumes_(informers.get(kPersistentVolumes)),
        classes_(informers.get(kStorageClasses)),
        nodes_(informers.get(kNodes)),
        pods_(informers.get(kPods)) {
    claims_.add_index(kUnboundByClass, by_unbound_class);
    volumes_.add_index(kCandidates, by_candidate);
    claims_.add_index(index::kVolume, index::by_volume);
    pods_.add_index(index::kClaim, index::by_claim);
  }

  std::string name() const override { return "persistentvolumeclaim"; }
  std::string component() const override { return "persistentvolume-controller"; }

  std::vector<WatchedCollection> watches() override {
    std::vector<WatchedCollection> out;
    out.push_back(watch_self(claims_));
    out.push_back(watch_mapped(volumes_, [this](const Value& before, const Value& after, Keys& keys) {
      for (const Value* volume : {&before, &after}) add(keys, reference_key(*volume));
      const Value& volume = after.is_null() ? before : after;
      for (const Value& claim : claims_.by_index(index::kVolume, std::string(api::name_of(volume))))
        add(keys, key_of(claim));
      const bool free = after["spec"]["claimRef"].is_null() && after["status"]["phase"].as_string() == "Available";
      if (free) add_unbound(std::string(class_of(after)), keys);
    }));
    out.push_back(watch_mapped(classes_, [this](const Value& before, const Value& after, Keys& keys) {
      const Value& one = after.is_null() ? before : after;
      add_unbound(std::string(api::name_of(one)), keys);
      if (api::annotation_of(after, kDefaultClass) == "true") add_unbound("", keys);
    }));
    out.push_back(watch_mapped(nodes_, [this](const Value& before, const Value& after, Keys& keys) {
      if (after.is_null() || !api::condition_is_true(after, "Ready")) return;
      if (!before.is_null() && api::condition_is_true(before, "Ready") && before["spec"] == after["spec"] &&
          api::labels_of(before) == api::labels_of(after)) {
        return;
      }
      for (const Value& one : classes_.list()) {
        if (!waits_for_consumer(one)) add_unbound(std::string(api::name_of(one)), keys);
      }
    }));
    return out;
  }

  Plan plan(const std::string& key, Time now) override {
    ClaimView view;
    view.claim = claims_.get(name_of_key(key));
    if (view.claim.is_null()) {
      emitted_.erase(key);
      missing_.erase(key);
      return {};
    }
    const std::string volume = view.claim["spec"]["volumeName"].str();
    if (!volume.empty()) view.volume = volumes_.get(api::Name{"", volume});
    const std::string storage_class(class_of(view.claim));
    if (!storage_class.empty()) view.storage_class = classes_.get(api::Name{"", storage_class});
    if (!is_fully_bound(view.claim)) {
      for (const std::string& candidates : candidate_keys(view.claim)) {
        for (Value& one : volumes_.by_index(kCandidates, candidates)) view.volumes.push_back(std::move(one));
      }
      view.nodes = nodes_.list();
      const bool anywhere =
          !waits_for_consumer(view.storage_class) && api::annotation_of(view.claim, kSelectedNode).empty();
      if (anywhere && !view.storage_class.is_null()) view.made_volumes = volumes_.list();
      if (has_no_class(view.claim)) view.default_class = choose_default_class(classes_.list());
      for (const Value& pod : pods_.by_index(index::kClaim, key)) {
        if (pod["spec"]["nodeName"].as_string().empty() && !api::is_pod_terminal(pod))
          view.waiting_pods.emplace_back(api::name_of(pod));
      }
    }
    view.volume_missing_long = is_missing_long(key, !volume.empty() && view.volume.is_null());
    Plan out = plan_claim(view, now);
    remove_repeated_events(key, std::string(api::uid_of(view.claim)), out);
    return out;
  }

 private:
  void add_unbound(const std::string& storage_class, Keys& keys) const {
    for (const Value& claim : claims_.by_index(kUnboundByClass, storage_class)) add(keys, key_of(claim));
  }

  bool is_missing_long(const std::string& key, bool missing) {
    if (!missing) {
      missing_.erase(key);
      return false;
    }
    auto [at, fresh] = missing_.try_emplace(key, runtime_.monotonic());
    return runtime_.monotonic() - at->second >= kMissingLong;
  }

  // A waiting claim is planned often with the same events: emit each once.
  void remove_repeated_events(const std::string& key, const std::string& uid, Plan& plan) {
    EmittedEvents& emitted = emitted_[key];
    if (emitted.uid != uid) emitted = EmittedEvents{uid, {}};
    std::erase_if(plan.events,
                  [&](const EventSpec& event) { return !emitted.texts.insert(event.reason + event.message).second; });
    if (emitted.texts.empty() || emitted.texts.size() > 64) emitted_.erase(key);
  }

  struct EmittedEvents {
    std::string uid;
    std::set<std::string> texts;
  };
  Runtime& runtime_;
  Informer& claims_;
  Informer& volumes_;
  Informer& classes_;
  Informer& nodes_;
  Informer& pods_;
  std::map<std::string, EmittedEvents> emitted_;  // by key
  std::map<std::string, Duration> missing_;       // by key: since when the cache lacks the claim's volume
};

// --- Volumes

class VolumeController final : public Controller {
 public:
  explicit VolumeController(InformerSet& informers)
      : claims_(informers.get(kPersistentVolumeClaims)),
        volumes_(informers.get(kPersistentVolumes)),
        reader_(informers) {
    volumes_.add_index(kClaimRef, by_claim_reference);
  }

  std::string name() const override { return "persistentvolume"; }
  std::string component() const override { return "persistentvolume-controller"; }

  std::vector<WatchedCollection> watches() override {
    std::vector<WatchedCollection> out;
    out.push_back(watch_self(volumes_));
    out.push_back(watch_mapped(claims_, [this](const Value& before, const Value& after, Keys& keys) {
      for (const Value* claim : {&before, &after}) add(keys, (*claim)["spec"]["volumeName"].str());
      for (const Value& volume : volumes_.by_index(kClaimRef, key_of(after.is_null() ? before : after)))
        add(keys, key_of(volume));
    }));
    return out;
  }

  Plan plan(const std::string& key, Time now) override {
    VolumeView view;
    view.volume = volumes_.get(name_of_key(key));
    if (view.volume.is_null()) return {};
    const Value& reference = view.volume["spec"]["claimRef"];
    const api::Name claim{reference["namespace"].str(), reference["name"].str()};
    if (!reference.is_null()) view.claim = claims_.get(claim);
    if (needs_live_claim(view)) {
      const LiveReader::Answer answer = reader_.get(kPersistentVolumeClaims, claim, reference["uid"].as_string());
      if (!answer.known()) {
        Plan retry;
        LiveReader::requeue_until_known(answer, retry);
        return retry;
      }
      view.live =
          answer.has_uid(reference["uid"].as_string()) ? VolumeView::LiveClaim::kThere : VolumeView::LiveClaim::kGone;
    }
    return plan_volume(view, now);
  }

 private:
  Informer& claims_;
  Informer& volumes_;
  LiveReader reader_;
};

// --- Protection

Action change_finalizer(const api::Resource& resource, const Value& object, std::string_view finalizer, bool add) {
  Value list = api::finalizers_without(object, finalizer);
  if (add) list.push(finalizer);
  return patch(resource, object, api::PatchType::kMerge, api::in_metadata("finalizers", list.empty() ? Value() : list),
               true);
}

class ClaimProtection final : public Controller {
 public:
  explicit ClaimProtection(InformerSet& informers)
      : claims_(informers.get(kPersistentVolumeClaims)), pods_(informers.get(kPods)), reader_(informers) {
    pods_.add_index(index::kClaim, index::by_claim);
  }
  std::string name() const override { return "pvc-protection"; }
  std::string component() const override { return "pvc-protection-controller"; }

  std::vector<WatchedCollection> watches() override {
    std::vector<WatchedCollection> out;
    out.push_back(watch_mapped(claims_, [](const Value&, const Value& after, Keys& keys) {
      if (after.is_null()) return;
      if (api::is_terminating(after) == api::has_finalizer(after, kClaimProtection)) keys.push_back(key_of(after));
    }));
    // Only a deleted or ended pod can release a claim.
    out.push_back(watch_mapped(pods_, [this](const Value& before, const Value& after, Keys& keys) {
      if (before.is_null() || (!after.is_null() && has_ended(before) == has_ended(after))) return;
      Keys used;
      index::by_claim(before, used);
      for (std::string& key : used) {
        if (api::is_terminating(claims_.get(name_of_key(key)))) add(keys, std::move(key));
      }
    }));
    return out;
  }

  Plan plan(const std::string& key, Time) override {
    Plan plan;
    const Value& claim = claims_.get(name_of_key(key));
    if (claim.is_null()) return plan;
    if (!api::is_terminating(claim)) {
      if (!api::has_finalizer(claim, kClaimProtection))
        plan.add(change_finalizer(kPersistentVolumeClaims, claim, kClaimProtection, true));
      return plan;
    }
    if (!api::has_finalizer(claim, kClaimProtection)) return plan;
    if (used_by(pods_.by_index(index::kClaim, key), key)) return plan;
    // The cache may lack a pod that was scheduled just now.
    const LiveReader::Answer live = reader_.list(kPods, std::string(api::namespace_of(claim)), api::uid_of(claim));
    if (!live.known()) {
      LiveReader::requeue_until_known(live, plan);
    } else if (!used_by(live.items, key)) {
      plan.add(change_finalizer(kPersistentVolumeClaims, claim, kClaimProtection, false));
    } else {
      plan.requeue_after(1s);  // a pod created and deleted while the cache lists again causes no event
    }
    return plan;
  }

 private:
  // True if the agent has ended the pod and requested its removal, so that only a finalizer holds it. A pod deleted in
  // the foreground waits for the claims it owns (whenScaled: Delete), so they must not wait for the pod.
  static bool has_ended(const Value& pod) {
    const Value& grace = pod["metadata"]["deletionGracePeriodSeconds"];
    return api::is_terminating(pod) && grace.is_int() && grace.as_int() == 0 && api::is_pod_terminal(pod);
  }
  static bool used_by(const std::vector<Value>& pods, const std::string& key) {
    return std::any_of(pods.begin(), pods.end(), [&](const Value& pod) {
      if (pod["spec"]["nodeName"].as_string().empty() || has_ended(pod)) return false;
      Keys used;
      index::by_claim(pod, used);
      return std::find(used.begin(), used.end(), key) != used.end();
    });
  }
  Informer& claims_;
  Informer& pods_;
  LiveReader reader_;
};

class VolumeProtection final : public Controller {
 public:
  explicit VolumeProtection(InformerSet& informers) : volumes_(informers.get(kPersistentVolumes)) {}
  std::string name() const override { return "pv-protection"; }
  std::string component() const override { return "pv-protection-controller"; }
  std::vector<WatchedCollection> watches() override {
    std::vector<WatchedCollection> out;
    out.push_back(watch_mapped(volumes_, [](const Value&, const Value& after, Keys& keys) {
      if (!after.is_null() && api::is_terminating(after) == api::has_finalizer(after, kVolumeProtection))
        keys.push_back(key_of(after));
    }));
    return out;
  }
  Plan plan(const std::string& key, Time) override {
    Plan plan;
    const Value& volume = volumes_.get(name_of_key(key));
    if (volume.is_null()) return plan;
    const bool is_protected = api::has_finalizer(volume, kVolumeProtection);
    if (!api::is_terminating(volume)) {
      if (!is_protected) plan.add(change_finalizer(kPersistentVolumes, volume, kVolumeProtection, true));
    } else if (is_protected && volume["status"]["phase"].as_string() != "Bound") {
      plan.add(change_finalizer(kPersistentVolumes, volume, kVolumeProtection, false));
    }
    return plan;
  }

 private:
  Informer& volumes_;
};

// --- Generic ephemeral volumes

class EphemeralController final : public Controller {
 public:
  explicit EphemeralController(InformerSet& informers)
      : pods_(informers.get(kPods)), claims_(informers.get(kPersistentVolumeClaims)) {}
  std::string name() const override { return "ephemeral-volume"; }
  std::string component() const override { return "ephemeral-volume-controller"; }

  std::vector<WatchedCollection> watches() override {
    std::vector<WatchedCollection> out;
    out.push_back(watch_mapped(pods_, [](const Value& before, const Value& after, Keys& keys) {
      if (!before.is_null() || after.is_null()) return;
      for (const Value& volume : after["spec"]["volumes"]) {
        if (volume.contains("ephemeral")) return keys.push_back(key_of(after));
      }
    }));
    out.push_back(watch_mapped(claims_, [](const Value& before, const Value& after, Keys& keys) {
      if (!after.is_null()) return;
      const Value& owner = api::controller_of(before);
      if (owner["kind"].as_string() == "Pod")
        keys.push_back(std::string(api::namespace_of(before)) + "/" + owner["name"].str());
    }));
    return out;
  }

  Plan plan(const std::string& key, Time) override {
    Plan plan;
    const Value& pod = pods_.get(name_of_key(key));
    if (pod.is_null() || api::is_terminating(pod) || api::is_pod_terminal(pod)) return plan;
    for (const Value& volume : pod["spec"]["volumes"]) {
      if (!volume.contains("ephemeral")) continue;
      const std::string name = std::string(api::name_of(pod)) + "-" + volume["name"].str();
      const Value& claim = claims_.get(api::namespace_of(pod), name);
      if (claim.is_null()) {
        Action action = create(kPersistentVolumeClaims, make_claim(pod, volume, name));
        action.failed(pod, kWarning, "FailedBinding",
                      "ephemeral volume \"" + volume["name"].str() + "\": create PVC " + name + ": ");
        plan.add(std::move(action));
      } else if (!api::is_controlled_by(claim, api::uid_of(pod))) {
        plan.event(pod, kWarning, "FailedBinding",
                   "PVC " + key_of(claim) + " was not created for pod " + key + " (pod is not owner)");
      }
    }
    return plan;
  }

 private:
  static Value make_claim(const Value& pod, const Value& volume, const std::string& name) {
    const Value& wanted = volume["ephemeral"]["volumeClaimTemplate"];
    Value metadata = Value::object({{"name", name}, {"namespace", api::namespace_of(pod)}});
    for (const char* field : {"labels", "annotations"}) {
      if (!wanted["metadata"][field].empty()) metadata.set(field, wanted["metadata"][field]);
    }
    metadata.set("ownerReferences", Value::array({api::controller_reference(pod, "v1", "Pod")}));
    return Value::object(
        {{"apiVersion", "v1"}, {"kind", "PersistentVolumeClaim"}, {"metadata", metadata}, {"spec", wanted["spec"]}});
  }
  Informer& pods_;
  Informer& claims_;
};

}  // namespace

std::unique_ptr<Controller> make_claim_controller(InformerSet& informers) {
  return std::make_unique<ClaimController>(informers);
}
std::unique_ptr<Controller> make_volume_controller(InformerSet& informers) {
  return std::make_unique<VolumeController>(informers);
}
std::unique_ptr<Controller> make_claim_protection_controller(InformerSet& informers) {
  return std::make_unique<ClaimProtection>(informers);
}
std::unique_ptr<Controller> make_volume_protection_controller(InformerSet& informers) {
  return std::make_unique<VolumeProtection>(informers);
}
std::unique_ptr<Controller> make_ephemeral_controller(InformerSet& informers) {
  return std::make_unique<EphemeralController>(informers);
}

std::vector<std::unique_ptr<Controller>> make_controllers(InformerSet& informers) {
  std::vector<std::unique_ptr<Controller>> out;
  out.push_back(make_claim_controller(informers));
  out.push_back(make_volume_controller(informers));
  out.push_back(make_claim_protection_controller(informers));
  out.push_back(make_volume_protection_controller(informers));
  out.push_back(make_ephemeral_controller(informers));
  return out;
}

}  // namespace berth::controllers::volume
