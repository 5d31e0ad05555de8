// pods/ephemeralcontainers and pods/resize: the ephemeral containers of a running pod, and the resources of its
// containers.
#include "api/copy_field.h"
#include "apiserver/registry/kinds/pod_subresources.h"

namespace berth::apiserver::registry {
namespace {

// The old containers with the new ones' resources; the new ones where they are not the same containers.
Value resized_list(const Value& before, const Value& after) {
  Value out = before;
  for (std::size_t i = 0; i < after.size(); ++i) {
    if (before[i]["name"] != after[i]["name"]) return after;
    for (const char* field : {"resources", "resizePolicy"}) api::copy_field(out.mut(i), after[i], field);
  }
  return out;
}

}  // namespace

Value merge_ephemeral_containers(const Value& before, Value sent) {
  Value out = before;
  api::copy_field(out.mut("spec"), sent["spec"], "ephemeralContainers");
  api::copy_field(out.mut("metadata"), sent["metadata"], "managedFields");
  return out;
}

Value merge_resize(const Value& before, Value sent) {
  const Value &old_spec = before["spec"], &new_spec = sent["spec"];
  if (old_spec["containers"].size() != new_spec["containers"].size() ||
      old_spec["initContainers"].size() != new_spec["initContainers"].size())
    return sent;
  Value out = before;
  Value& spec = out.mut("spec");
  api::copy_field(spec, new_spec, "resources");
  spec.set("containers", resized_list(old_spec["containers"], new_spec["containers"]));
  if (!new_spec["initContainers"].empty())
    spec.set("initContainers", resized_list(old_spec["initContainers"], new_spec["initContainers"]));
  api::copy_field(out.mut("metadata"), sent["metadata"], "managedFields");
  return out;
}

}  // namespace berth::apiserver::registry
