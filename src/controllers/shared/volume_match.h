#pragma once
// Which PersistentVolume may serve which PersistentVolumeClaim. Pure; used by the volume controllers and the scheduler.

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "api/quantity.h"
#include "base/json/json.h"

namespace berth::controllers {

inline constexpr std::string_view kBindCompleted = "pv.kubernetes.io/bind-completed";
inline constexpr std::string_view kBoundByController = "pv.kubernetes.io/bound-by-controller";
inline constexpr std::string_view kProvisionedBy = "pv.kubernetes.io/provisioned-by";
inline constexpr std::string_view kSelectedNode = "volume.kubernetes.io/selected-node";
inline constexpr std::string_view kStorageProvisioner = "volume.kubernetes.io/storage-provisioner";
inline constexpr std::string_view kBetaStorageProvisioner = "volume.beta.kubernetes.io/storage-provisioner";
inline constexpr std::string_view kBetaStorageClass = "volume.beta.kubernetes.io/storage-class";
inline constexpr std::string_view kDefaultClass = "storageclass.kubernetes.io/is-default-class";

// The class of a claim or volume: the beta annotation first, then spec.storageClassName; "" where none.
std::string_view class_of(const Value& claim_or_volume);
// Neither the annotation nor the field: the default class may still be filled in.
bool has_no_class(const Value& claim);
bool waits_for_consumer(const Value& storage_class);  // volumeBindingMode
api::Quantity request_of(const Value& claim);
api::Quantity capacity_of(const Value& volume);
std::string_view mode_of(const Value& claim_or_volume);  // "Filesystem" where not said
// spec.volumeName is set and binding was completed.
bool is_fully_bound(const Value& claim);
// The volume's claimRef names this claim: no other incarnation of it, though one without uid counts.
bool is_reserved_for(const Value& volume, const Value& claim);

// Why a volume that a claim asks for by name cannot serve it; "" where it can. The words of upstream's VolumeMismatch.
std::string mismatch(const Value& volume, const Value& claim);

// The informer index by which a claim finds the volumes that could serve it without looking at all of them.
inline const std::string kCandidates = "volume-candidates";
void by_candidate(const Value& volume, std::vector<std::string>& keys);
// The keys to ask it for: volumes reserved for the claim, and free ones of its class.
std::vector<std::string> candidate_keys(const Value& claim);

struct MatchOptions {
  const Value* node = nullptr;  // the volume has to be usable there
  // True for volumes that somebody just took: they are passed over.
  std::function<bool(const Value& volume)> taken;
  // The claim waits for its consumer: without a node only a volume reserved for it counts.
  bool waits = false;
};
// The volume reserved for the claim, else the smallest free one that fits; null where none.
Value find_match(const Value& claim, const std::vector<Value>& volumes, const MatchOptions& options);

}  // namespace berth::controllers
