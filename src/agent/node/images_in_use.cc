#include "agent/node/images_in_use.h"

#include "agent/pod/container_lists.h"

namespace berth::agent {

void add_images_in_use(const Value& pod, const PodRecord& record, const ImageStore& images,
                       std::set<std::string>& ids) {
  auto add = [&](std::string_view reference) {
    if (reference.empty()) return;
    if (auto image = images.find(reference)) ids.insert(image->id);
  };
  const Value& spec = pod["spec"];
  for (const char* list : kContainerLists) {
    for (const Value& container : spec[list]) add(container["image"].as_string());
  }
  for (const Value& volume : spec["volumes"]) add(volume["image"]["reference"].as_string());
  for (const auto& [volume, image] : record.volume_images) add(image);
  for (const auto& [name, container] : record.containers) {
    add(container.image);
    add(container.image_id);  // its tag may name another image by now
  }
}

}  // namespace berth::agent
