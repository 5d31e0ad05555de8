#pragma once
// images_in_use: the images that a pod needs or has containers of. What collects images keeps these of all pods.

#include <set>
#include <string>

#include "agent/images/image_store.h"
#include "agent/pod/pod_record.h"
#include "base/json/json.h"

namespace berth::agent {

// Ids: of what the containers of every kind and the image volumes name, and of what is mounted and what the containers
// that were started run, whose tags may name other images by now.
void add_images_in_use(const Value& pod, const PodRecord& record, const ImageStore& images, std::set<std::string>& ids);

template <class Workers>
std::vector<std::string> images_in_use(const Workers& workers, const ImageStore& images) {
  std::set<std::string> ids;
  for (const auto& worker : workers) add_images_in_use(worker->pod(), worker->record(), images, ids);
  return {ids.begin(), ids.end()};
}

}  // namespace berth::agent
