#pragma once
// PodScope: facts about one pod spec that the rules of its parts need. Lives for one validation and refers to the spec.
// Internal to validation/.

#include <algorithm>
#include <string_view>
#include <vector>

#include "base/json/json.h"

namespace berth::apiserver::validation {

class PodScope {
 public:
  // `metadata` is the pod's own, and null for the spec of a template.
  PodScope(const Value& spec, const Value* metadata) : spec_(spec), metadata_(metadata) {
    for (const Value& claim : spec["resourceClaims"]) {
      if (const std::string_view name = claim["name"].as_string(); !name.empty()) claims_.push_back(name);
    }
    std::sort(claims_.begin(), claims_.end());
    claims_.erase(std::unique(claims_.begin(), claims_.end()), claims_.end());
  }

  bool is_pod() const { return metadata_ != nullptr; }
  std::string_view pod_name() const {
    return metadata_ != nullptr ? (*metadata_)["name"].as_string() : std::string_view();
  }
  const Value& spec() const { return spec_; }
  // False where user namespaces are asked for.
  bool host_users() const { return spec_["hostUsers"].as_bool(true); }

  // Volumes that passed their own checks; null where there is none of that name.
  void add_volume(const Value& volume) { volumes_.push_back(&volume); }
  const Value* volume(std::string_view name) const {
    for (const Value* volume : volumes_) {
      if ((*volume)["name"].as_string() == name) return volume;
    }
    return nullptr;
  }

  // Names of spec.resourceClaims, sorted, each once.
  const std::vector<std::string_view>& claims() const { return claims_; }

 private:
  const Value& spec_;
  const Value* metadata_;
  std::vector<const Value*> volumes_;
  std::vector<std::string_view> claims_;
};

// Calls visit(container, path) for every container of the spec: init containers, ordinary and ephemeral ones.
template <class Path, class Visit>
void each_container(const Value& spec, const Path& path, Visit visit) {
  for (const char* list : {"initContainers", "containers", "ephemeralContainers"}) {
    const Path all = path / list;
    std::size_t index = 0;
    for (const Value& container : spec[list]) {
      const Path here = all.at(index++);
      visit(container, here);
    }
  }
}

}  // namespace berth::apiserver::validation
