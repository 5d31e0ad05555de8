#pragma once
// PodScope: what the parts of one pod spec need to know of each other. Lives for one validation and refers to the spec.
// Internal to validation/.

#include <string_view>
#include <vector>

#include "base/json/json.h"

namespace berth::validation {

class PodScope {
 public:
  // `metadata` is the pod's own, and null for the spec of a template.
  PodScope(const Value& spec, const Value* metadata) : spec_(spec), metadata_(metadata) {}

  bool is_pod() const { return metadata_ != nullptr; }
  std::string_view pod_name() const { return metadata_ != nullptr ? (*metadata_)["name"].as_string() : std::string_view(); }
  const Value& spec() const { return spec_; }
  // User namespaces are not asked for.
  bool host_users() const { return spec_["hostUsers"].as_bool(true); }

  // Volumes that passed their own checks; null where there is none of that name.
  void add_volume(const Value& volume) { volumes_.push_back(&volume); }
  const Value* volume(std::string_view name) const {
    for (const Value* volume : volumes_) {
      if ((*volume)["name"].as_string() == name) return volume;
    }
    return nullptr;
  }

 private:
  const Value& spec_;
  const Value* metadata_;
  std::vector<const Value*> volumes_;
};

}  // namespace berth::validation
