#include "agent/runtime/oci_spec.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace berth::agent {
namespace {

std::vector<std::string> targets(const Value& config) {
  std::vector<std::string> out;
  for (const Value& mount : config["mounts"]) out.push_back(mount["destination"].str());
  return out;
}

const Value& mount_at(const Value& config, std::string_view target) {
  static const Value none;
  for (const Value& mount : config["mounts"]) {
    if (mount["destination"].as_string() == target) return mount;
  }
  return none;
}

bool has_option(const Value& mount, std::string_view option) {
  return std::any_of(mount["options"].begin(), mount["options"].end(),
                     [&](const Value& one) { return one.as_string() == option; });
}

TEST(OciSpec, ParentsAreMountedBeforeTheirChildren) {
  ContainerSpec spec;
  spec.mounts = {{.source = "/v/ca", .target = "/certs/ca"},
                 {.source = "/v/all", .target = "/certs"},
                 {.source = "/v/shm", .target = "/dev/shm"},
                 {.source = "/v/hosts", .target = "/etc/hosts"},
                 {.source = "/v/etc", .target = "/etc/"}};
  OciSurroundings around;
  around.shm = "/pod/shm";
  Value config = oci_config(spec, around);
  auto order = targets(config);
  auto at = [&](const char* target) { return std::find(order.begin(), order.end(), target) - order.begin(); };
  EXPECT_LT(at("/certs"), at("/certs/ca"));
  EXPECT_LT(at("/etc/"), at("/etc/hosts"));
  EXPECT_LT(at("/dev"), at("/dev/shm"));
  EXPECT_EQ(std::count(order.begin(), order.end(), "/dev/shm"), 2) << "the pod's own and, over it, the container's";
}

TEST(OciSpec, PropagationReachesTheRoot) {
  ContainerSpec spec;
  spec.mounts = {{.source = "/v", .target = "/v"}};
  EXPECT_TRUE(oci_config(spec, {})["linux"]["rootfsPropagation"].is_null());
  spec.mounts.push_back({.source = "/w", .target = "/w", .propagation = "rslave"});
  EXPECT_EQ(oci_config(spec, {})["linux"]["rootfsPropagation"].as_string(), "rslave");
  spec.mounts.push_back({.source = "/x", .target = "/x", .propagation = "rshared"});
  Value config = oci_config(spec, {});
  EXPECT_EQ(config["linux"]["rootfsPropagation"].as_string(), "rshared");
  EXPECT_TRUE(has_option(mount_at(config, "/v"), "rprivate"));
  EXPECT_TRUE(has_option(mount_at(config, "/w"), "rslave"));
}

TEST(OciSpec, ReadOnlyMayHoldForWhatIsMountedBelow) {
  ContainerSpec spec;
  spec.mounts = {{.source = "/v", .target = "/v", .read_only = true},
                 {.source = "/w", .target = "/w", .read_only = true, .read_only_below = true, .no_exec = true}};
  Value config = oci_config(spec, {});
  EXPECT_TRUE(has_option(mount_at(config, "/v"), "ro"));
  EXPECT_FALSE(has_option(mount_at(config, "/v"), "rro"));
  EXPECT_TRUE(has_option(mount_at(config, "/w"), "rro"));
  EXPECT_TRUE(has_option(mount_at(config, "/w"), "noexec"));
}

TEST(OciSpec, SecurityModulesAndProcFollowTheSpec) {
  ContainerSpec spec;
  Value config = oci_config(spec, {});
  EXPECT_TRUE(config["process"]["apparmorProfile"].is_null());
  EXPECT_FALSE(config["linux"]["maskedPaths"].empty());
  spec.apparmor = "mine";
  spec.selinux_label = "system_u:system_r:container_t:s0";
  spec.unmasked_proc = true;
  config = oci_config(spec, {});
  EXPECT_EQ(config["process"]["apparmorProfile"].as_string(), "mine");
  EXPECT_EQ(config["process"]["selinuxLabel"].as_string(), "system_u:system_r:container_t:s0");
  EXPECT_TRUE(config["linux"]["maskedPaths"].is_null());
  EXPECT_TRUE(config["linux"]["readonlyPaths"].is_null());
}

TEST(OciSpec, AMissingMessageQueueDirectoryIsMade) {
  ContainerSpec spec;
  OciSurroundings around;  // in the node's ipc namespace
  EXPECT_EQ(mount_at(oci_config(spec, around), "/dev/mqueue")["type"].as_string(), "bind");
  around.node_has_mqueue = false;
  EXPECT_EQ(mount_at(oci_config(spec, around), "/dev/mqueue")["type"].as_string(), "mqueue");
}

}  // namespace
}  // namespace berth::agent
