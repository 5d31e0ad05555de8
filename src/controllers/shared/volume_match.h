#pragma once
// Which PersistentVolumes match a PersistentVolumeClaim. Pure; used by the volume controllers and the scheduler.

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

// The class of a claim or volume: the beta annotation first, then spec.storageClassName; "" if there is none.
std::string_view class_of(const Value& claim_or_volume);
// Neither the annotation nor the field is set: the default class may still be filled in.
bool has_no_class(const Value& claim);
bool waits_for_consumer(const Value& storage_class);  // volumeBindingMode
api::Quantity request_of(const Value& claim);
api::Quantity capacity_of(const Value& volume);
std::string_view mode_of(const Value& claim_or_volume);  // default "Filesystem"
// spec.volumeName is set and binding was completed.
bool is_fully_bound(const Value& claim);
// The volume's claimRef names this claim; a claimRef with the uid of another incarnation does not, one without a uid
// does.
bool is_reserved_for(const Value& volume, const Value& claim);

// Why a volume named by spec.volumeName does not fit the claim; "" if it does. Messages as upstream's VolumeMismatch.
std::string mismatch(const Value& volume, const Value& claim);

// Informer index of volumes by claim or class, so that a match does not read every volume.
inline const std::string kCandidates = "volume-candidates";
void by_candidate(const Value& volume, std::vector<std::string>& keys);
// The index keys for a claim: volumes reserved for it, and free ones of its class.
std::vector<std::string> candidate_keys(const Value& claim);

struct MatchOptions {
  const Value* node = nullptr;  // if set, the volume must be usable there
  // True for volumes that a binding in progress uses: they are skipped.
  std::function<bool(const Value& volume)> is_used;
  // WaitForFirstConsumer: without a node only a volume reserved for the claim matches.
  bool waits_for_consumer = false;
};
// The volume reserved for the claim, else the smallest free one that fits; null if there is none.
Value find_match(const Value& claim, const std::vector<Value>& volumes, const MatchOptions& options);

}  // namespace berth::controllers
