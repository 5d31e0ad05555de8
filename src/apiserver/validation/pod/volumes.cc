// The volumes of a pod: what depends on the pod around them. What a kind of volume must be is in schema/core.v1.checks.
#include <set>

#include "apiserver/validation/check_functions.h"
#include "apiserver/validation/pod/pod_scope.h"
#include "apiserver/validation/validation.h"

namespace berth::apiserver::validation {
namespace {

constexpr std::size_t kInitiatorBytes = 64;

// The claim of a pod's volume; the pod has its name.
std::string claim_name(const PodScope& scope, const Value& volume) {
  if (scope.pod_name().empty() || volume["name"].as_string().empty()) return {};
  return std::string(scope.pod_name()) + "-" + volume["name"].str();
}

// Kinds of volumes whose complaints name the volume.
void check_name_in_pod(Report& report, const Path& path, const Value& volume, const PodScope& scope) {
  const Value& name = volume["name"];
  if (const Value& iscsi = volume["iscsi"]; !iscsi["initiatorName"].is_null()) {
    if (name.as_string().size() + 1 + iscsi["targetPortal"].as_string().size() > kInitiatorBytes) {
      report.invalid(
          path / "name", name.as_string(),
          "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.");
    }
  }
  if (volume["ephemeral"].is_object() && volume.size() == 2) {
    if (const std::string claim = claim_name(scope, volume); !claim.empty()) {
      for (const std::string& text : is_dns1123_subdomain(claim)) {
        report.invalid(path / "name", name, "PVC name \"" + claim + "\": " + text);
      }
    }
  }
  if (scope.is_pod() && volume["image"].is_object() && volume["image"]["reference"].as_string().empty() &&
      volume.size() <= 2) {
    report.required(path / "image.reference");
  }
}

}  // namespace

void validate_volumes(Report& report, const Path& path, const Value& volumes, PodScope& scope) {
  static const CheckBlock& kVolume = checks_of("core.Volume");
  std::set<std::string> claims;
  for (const Value& volume : volumes) {
    if (volume["ephemeral"].is_object() && !scope.pod_name().empty()) claims.insert(claim_name(scope, volume));
  }
  std::size_t index = 0;
  for (const Value& volume : volumes) {
    const Path here = path.at(index++);
    const std::size_t before = report.size();
    const Value& name = volume["name"];
    run_checks(report, here, kVolume, volume);
    check_name_in_pod(report, here, volume, scope);
    if (name.as_string().empty()) {
      report.required(here / "name");
    } else {
      report.complaints(here / "name", name, is_dns1123_label(name.as_string()));
    }
    if (scope.volume(name.as_string()) != nullptr) report.duplicate(here / "name", name);
    // An invalid volume is left out, so mounts of it are "not found".
    if (report.size() == before) scope.add_volume(volume);
    const Value& claim = volume["persistentVolumeClaim"]["claimName"];
    if (!claim.is_null() && claims.contains(claim.str())) {
      report.invalid(here / "persistentVolumeClaim.claimName", claim,
                     "must not reference a PVC that gets created for an ephemeral volume");
    }
  }
}

}  // namespace berth::apiserver::validation
