#include "agent/node/images_in_use.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "agent/testing/test_cluster.h"

namespace berth::agent {
namespace {

TEST(ImagesInUse, EveryContainerAndVolumeAndWhatRunsCounts) {
  testing::ManualRuntime runtime;
  testing::FakeImages images(runtime);
  std::set<std::string> wanted;
  for (const char* name : {"main", "init", "debug", "files", "older", "mounted"}) wanted.insert(images.add(name)->id);
  const std::string unused = images.add("unused")->id;
  ASSERT_EQ(wanted.size(), 6u);
  Result<Value> pod = json::parse(R"({"spec": {
    "volumes": [{"name": "v", "image": {"reference": "files"}}, {"name": "e", "emptyDir": {}}],
    "initContainers": [{"name": "i", "image": "init"}],
    "containers": [{"name": "c", "image": "main"}, {"name": "d", "image": "absent"}],
    "ephemeralContainers": [{"name": "x", "image": "debug"}]}})");
  ASSERT_TRUE(pod.ok());
  PodRecord record;
  record.containers["c"].image_id = "older";  // "main" was another image when it was started
  record.volume_images["v"] = "mounted";      // so was "files" when it was mounted
  std::set<std::string> ids;
  add_images_in_use(*pod, record, images, ids);
  EXPECT_EQ(ids, wanted);
  EXPECT_FALSE(ids.contains(unused));
}

}  // namespace
}  // namespace berth::agent
