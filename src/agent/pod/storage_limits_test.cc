#include "agent/pod/storage_limits.h"

#include <gtest/gtest.h>

#include "agent/spec/resources.h"

namespace berth::agent {
namespace {

constexpr std::int64_t kMiB = 1 << 20;

Value pod_of(const char* spec) {
  auto value = json::parse(spec);
  EXPECT_TRUE(value.ok()) << value.error().message;
  return Value::object({{"metadata", Value::object({{"name", "p"}})}, {"spec", value.ok() ? *value : Value()}});
}

std::string why(const Value& pod, const StorageUse& use) {
  return over_limit(storage_limits(pod), use).value_or("keeps to them");
}

TEST(StorageLimits, EmptyDirs) {
  Value pod = pod_of(
      R"({"volumes":[{"name":"a","emptyDir":{"sizeLimit":"10Mi"}},{"name":"b","emptyDir":{}},{"name":"c","emptyDir":{"sizeLimit":"0"}}]})");
  ASSERT_EQ(storage_limits(pod).empty_dirs.size(), 1u);
  StorageUse use;
  use.empty_dirs = {{"a", {10 * kMiB, 1}}, {"b", {900 * kMiB, 1}}, {"c", {900 * kMiB, 1}}};
  EXPECT_EQ(why(pod, use), "keeps to them");
  use.empty_dirs["a"].bytes += 4096;
  EXPECT_EQ(why(pod, use), "Usage of EmptyDir volume \"a\" exceeds the limit \"10Mi\". ");
  EXPECT_FALSE(storage_limits(pod_of(R"({"volumes":[{"name":"b","emptyDir":{}}],"containers":[{"name":"c"}]})")).any());
}

TEST(StorageLimits, ContainersAndPods) {
  Value pod = pod_of(R"({"volumes":[{"name":"e","emptyDir":{}}],"containers":[
      {"name":"a","resources":{"limits":{"ephemeral-storage":"4Mi"}}},{"name":"b","resources":{"limits":{"ephemeral-storage":"8Mi"}}}]})");
  StorageUse use;
  use.containers = {{"a", {5 * kMiB, 1}}, {"b", {1 * kMiB, 1}}};
  EXPECT_EQ(why(pod, use), "Container a exceeded its local ephemeral storage limit \"4Mi\". ");
  use.empty_dirs = {{"e", {7 * kMiB, 1}}};  // the pod's limit counts these too, and comes first
  EXPECT_EQ(why(pod, use), "Pod ephemeral local storage usage exceeds the total limit of containers 12Mi. ");
  use.containers["a"].bytes = 3 * kMiB;
  EXPECT_EQ(why(pod, use), "keeps to them");
  // One container with a limit makes one of the pod.
  Value half =
      pod_of(R"({"containers":[{"name":"a","resources":{"limits":{"ephemeral-storage":"4Mi"}}},{"name":"b"}]})");
  StorageUse of_b;
  of_b.containers = {{"b", {5 * kMiB, 1}}};
  EXPECT_EQ(why(half, of_b), "Pod ephemeral local storage usage exceeds the total limit of containers 4Mi. ");
}

TEST(StorageLimits, InitContainersAndSidecarsCount) {
  Value pod = pod_of(R"({"containers":[{"name":"a","resources":{"limits":{"memory":"10Mi"}}}],"initContainers":[
      {"name":"s","restartPolicy":"Always","resources":{"limits":{"memory":"5Mi"}}},
      {"name":"i","resources":{"limits":{"memory":"20Mi"}}}]})");
  EXPECT_EQ(pod_limit(pod, "memory")->value(), 25 * kMiB);  // the init container runs beside the sidecar before it
  pod.mut("spec").set("resources", Value::object({{"limits", Value::object({{"memory", "64Mi"}})}}));
  EXPECT_EQ(pod_limit(pod, "memory")->value(), 64 * kMiB);
  EXPECT_FALSE(pod_limit(pod, "cpu").has_value());
}

TEST(StorageLimits, AMemoryVolumeIsAsLargeAsTheLeast) {
  auto volume = [](const char* text) { return json::parse(text).value(); };
  Value limited = pod_of(R"({"containers":[{"name":"a","resources":{"limits":{"memory":"32Mi"}}}]})");
  Value free = pod_of(R"({"containers":[{"name":"a"}]})");
  const std::int64_t node = 1024 * kMiB;
  EXPECT_EQ(memory_volume_size(limited, volume(R"({"medium":"Memory"})"), node), 32 * kMiB);
  EXPECT_EQ(memory_volume_size(limited, volume(R"({"medium":"Memory","sizeLimit":"64Mi"})"), node), 32 * kMiB);
  EXPECT_EQ(memory_volume_size(limited, volume(R"({"medium":"Memory","sizeLimit":"1Mi"})"), node), kMiB);
  EXPECT_EQ(memory_volume_size(free, volume(R"({"medium":"Memory"})"), node), node);
  EXPECT_EQ(memory_volume_size(free, volume(R"({"medium":"Memory","sizeLimit":"2Gi"})"), node), node);
  EXPECT_EQ(memory_volume_size(free, volume(R"({"medium":"Memory","sizeLimit":"0"})"), node), node);
  EXPECT_EQ(allocatable_memory(1024 * kMiB), 924 * kMiB);
}

EvictionCandidate candidate(const char* spec, std::int64_t bytes) {
  EvictionCandidate out{pod_of(spec), {}};
  out.use.containers["c"] = {bytes, bytes / 4096};
  return out;
}

TEST(Eviction, TheOneBeyondItsRequestGoesFirst) {
  const std::string storage = "ephemeral-storage";
  std::vector<EvictionCandidate> all = {
      candidate(R"({"containers":[{"name":"c","resources":{"requests":{"ephemeral-storage":"1Gi"}}}]})", 500 * kMiB),
      candidate(R"({"containers":[{"name":"c"}]})", 100 * kMiB),
      candidate(R"({"containers":[{"name":"c"}]})", 200 * kMiB)};
  EXPECT_EQ(choose_victim(all, storage, kMiB), std::optional<std::size_t>(2));
  EXPECT_EQ(choose_victim(all, storage, 300 * kMiB), std::optional<std::size_t>(0));
  EXPECT_EQ(choose_victim(all, storage, 600 * kMiB), std::nullopt);
  EXPECT_EQ(choose_victim(all, "inodes", 1), std::optional<std::size_t>(0));
  all[2].pod.mut("spec").set("priority", 10);
  EXPECT_EQ(choose_victim(all, storage, kMiB), std::optional<std::size_t>(1));
  all[1].pod.mut("spec").set("priority", 2'000'000'000);
  EXPECT_EQ(choose_victim(all, storage, kMiB), std::optional<std::size_t>(2));
  EXPECT_EQ(
      shortage_message(all[2], storage, 64 * kMiB, 3 * kMiB),
      "The node was low on resource: ephemeral-storage. Threshold quantity: 64Mi, available: 3Mi. Container c was using 200Mi, "
      "request is 0, has larger consumption of ephemeral-storage. ");
}

}  // namespace
}  // namespace berth::agent
