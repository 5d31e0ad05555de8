// The agent with fakes around it: volumes, and what is read from them.

#include <gtest/gtest.h>

#include <algorithm>

#include "agent/mounts/mounts.h"
#include "agent/testing/test_agent.h"
#include "api/object.h"
#include "base/files.h"

namespace berth::agent {
namespace {

using api::resources::kConfigMaps;
using api::resources::kPersistentVolumeClaims;
using api::resources::kPersistentVolumes;

TEST_F(AgentTest, VariablesComeFromFilesOfVolumes) {
  const char* spec = R"({"volumes":[{"name":"e","emptyDir":{}}],"containers":[{"name":"c","image":"busybox","env":[
      {"name":"A","valueFrom":{"fileKeyRef":{"volumeName":"e","path":"conf/env","key":"A"}}},
      {"name":"B","valueFrom":{"fileKeyRef":{"volumeName":"e","path":"conf/env","key":"B","optional":true}}}]}]})";
  Value stored = put("web-0", spec);
  EXPECT_EQ(container("web-0")["state"]["waiting"]["reason"].as_string(), "CreateContainerConfigError");
  EXPECT_TRUE(container("web-0")["state"]["waiting"]["message"].as_string().starts_with(
      "couldn't parse env file \"conf/env\""));
  std::string volume = directory_ / "data/pods/" + std::string(api::uid_of(stored)) + "/empty/e";
  ASSERT_TRUE(write_file(directory_ / "env", "A='stolen'").ok());
  ASSERT_EQ(::symlink(directory_.path().c_str(), (volume + "/conf").c_str()), 0);
  runtime_.advance(11s);
  EXPECT_TRUE(containers_.specs.empty()) << "a link that leads out of the volume is not followed";
  ASSERT_EQ(::unlink((volume + "/conf").c_str()), 0);
  ASSERT_TRUE(make_directories(volume + "/conf").ok());
  ASSERT_TRUE(write_file(volume + "/conf/env", "A='one'\n").ok());
  runtime_.advance(11s);
  ASSERT_EQ(containers_.specs.size(), 1u);
  const auto& env = containers_.specs[0].env;
  EXPECT_EQ(std::count(env.begin(), env.end(), "A=one"), 1);
  EXPECT_EQ(std::count_if(env.begin(), env.end(), [](const auto& one) { return one.starts_with("B="); }), 0);
}

TEST_F(AgentTest, AMissingConfigMapIsWaitedFor) {
  put("a",
      R"({"containers":[{"name":"c","image":"busybox","env":[{"name":"X","valueFrom":{"configMapKeyRef":{"name":"m","key":"k"}}}]}]})");
  EXPECT_EQ(container("a")["state"]["waiting"]["reason"].as_string(), "CreateContainerConfigError");
  EXPECT_EQ(container("a")["state"]["waiting"]["message"].as_string(), "configmap \"m\" not found");
  EXPECT_TRUE(has_event("Warning Failed a: Error: configmap \"m\" not found")) << all_events();
  api_.put(kConfigMaps, Value::object({{"metadata", Value::object({{"name", "m"}, {"namespace", "default"}})},
                                       {"data", Value::object({{"other", "1"}})}}));
  runtime_.settle();
  EXPECT_EQ(container("a")["state"]["waiting"]["message"].as_string(), "couldn't find key k in ConfigMap default/m");
  api_.put(kConfigMaps, Value::object({{"metadata", Value::object({{"name", "m"}, {"namespace", "default"}})},
                                       {"data", Value::object({{"k", "value"}})}}));
  runtime_.settle();
  EXPECT_EQ(get("a")["status"]["phase"].as_string(), "Running") << "at once, not at the next retry";
  const auto& env = containers_.specs.back().env;
  EXPECT_NE(std::find(env.begin(), env.end(), "X=value"), env.end());
}

TEST_F(AgentTest, ConfigVolumesChangeInPlace) {
  put("a",
      R"({"volumes":[{"name":"v","configMap":{"name":"m"}}],"containers":[{"name":"c","image":"busybox","volumeMounts":[{"name":"v","mountPath":"/etc/v"}]}]})");
  std::string uid(api::uid_of(get("a")));
  EXPECT_TRUE(has_event("Warning FailedMount a: MountVolume.SetUp failed for volume \"v\" : configmap \"m\" not found"))
      << all_events();
  auto config = [&](const char* text) {
    api_.put(kConfigMaps, Value::object({{"metadata", Value::object({{"name", "m"}, {"namespace", "default"}})},
                                         {"data", Value::object({{"k", text}})}}));
    runtime_.settle();
  };
  config("one");
  EXPECT_EQ(get("a")["status"]["phase"].as_string(), "Running") << all_events();
  std::string file = memory(uid) + "/volumes/v/k";
  EXPECT_EQ(read_file(file).value(), "one");
  config("two");
  EXPECT_EQ(read_file(file).value(), "two");
  const auto& mounts = containers_.specs.back().mounts;
  auto mount = std::find_if(mounts.begin(), mounts.end(), [](const Mount& m) { return m.target == "/etc/v"; });
  ASSERT_NE(mount, mounts.end());
  EXPECT_TRUE(mount->read_only);
  EXPECT_EQ(mount->source, memory(uid) + "/volumes/v");
}

TEST_F(AgentTest, ATokenIsProjectedAndRenewed) {
  put("a",
      R"({"serviceAccountName":"web","volumes":[{"name":"v","projected":{"sources":[{"serviceAccountToken":{"path":"token","expirationSeconds":3600}}]}}],
               "containers":[{"name":"c","image":"busybox","volumeMounts":[{"name":"v","mountPath":"/t"}]}]})");
  std::string uid(api::uid_of(get("a")));
  EXPECT_EQ(read_file(memory(uid) + "/volumes/v/token").value(), "token-of-web");
  runtime_.advance(47min);
  EXPECT_EQ(api_.tokens, 1);
  runtime_.advance(2min);
  EXPECT_EQ(read_file(memory(uid) + "/volumes/v/token").value(), "token-of-web-2") << "at 80 % of its life";
}

// No timer counts the time that a machine is suspended; tokens end by the wall clock.
TEST_F(AgentTest, ATokenIsRenewedSoonAfterASuspend) {
  put("a",
      R"({"serviceAccountName":"web","volumes":[{"name":"v","projected":{"sources":[{"serviceAccountToken":{"path":"token","expirationSeconds":3600}}]}}],
               "containers":[{"name":"c","image":"busybox","volumeMounts":[{"name":"v","mountPath":"/t"}]}]})");
  const std::string token = memory(std::string(api::uid_of(get("a")))) + "/volumes/v/token";
  runtime_.suspend(3h);
  api_.down = true;
  runtime_.advance(60s);
  EXPECT_EQ(read_file(token).value(), "token-of-web") << "an old one is better than none";
  api_.down = false;
  runtime_.advance(60s);
  EXPECT_EQ(read_file(token).value(), "token-of-web-2");
  runtime_.advance(40min);
  EXPECT_EQ(api_.tokens, 2);
}

TEST_F(AgentTest, ClaimsAreMountedByWhatTheyAreBoundTo) {
  if (!testing::enter_private_mounts()) GTEST_SKIP() << "no private mount namespace";
  put("a",
      R"({"volumes":[{"name":"d","persistentVolumeClaim":{"claimName":"data"}}],"containers":[{"name":"c","image":"busybox","volumeMounts":[{"name":"d","mountPath":"/data","subPath":"db"}]}]})");
  EXPECT_TRUE(containers_.specs.empty());
  Value claim = api_.put(kPersistentVolumeClaims,
                         Value::object({{"metadata", Value::object({{"name", "data"}, {"namespace", "default"}})},
                                        {"spec", Value::object({{"volumeName", "pv1"}})},
                                        {"status", Value::object({{"phase", "Bound"}})}}));
  Value volume = Value::object({{"metadata", Value::object({{"name", "pv1"}})},
                                {"spec", Value::object({{"claimRef", Value::object({{"uid", "another"}})}})}});
  api_.put(kPersistentVolumes, volume);
  runtime_.advance(5s);
  EXPECT_TRUE(containers_.specs.empty()) << "a volume that is bound to another claim is never mounted";
  EXPECT_NE(all_events().find("is bound to another claim"), std::string::npos) << all_events();
  volume.mut("spec").set("claimRef", Value::object({{"uid", std::string(api::uid_of(claim))}}));
  api_.put(kPersistentVolumes, volume);
  runtime_.advance(125s);
  ASSERT_EQ(containers_.specs.size(), 1u) << all_events();
  const std::string source = containers_.specs[0].mounts[0].source;
  EXPECT_TRUE(is_mount_point(source)) << source;
  ASSERT_TRUE(write_file(directory_ / "volumes/pv1/db/file", "x").ok());
  EXPECT_TRUE(path_exists(source + "/file")) << "the sub-path of that volume";
  EXPECT_EQ(volumes_.users["pv1"].size(), 1u);
  api_.delete_pod({"default", "a"}, 1);
  runtime_.settle();
  EXPECT_TRUE(get("a").is_null());
  EXPECT_FALSE(is_mount_point(source)) << "nothing of the volume stays in use";
  EXPECT_TRUE(volumes_.users["pv1"].empty());
}

TEST_F(AgentTest, AClaimThatIsBeingDeletedIsRefusedUnlessThePodHasItsVolume) {
  auto put_claim = [&](const std::string& name, bool terminating) {
    Value metadata = Value::object({{"name", name}, {"namespace", "default"}});
    if (terminating) metadata.set("deletionTimestamp", "2030-01-01T00:00:00Z");
    const Value claim =
        api_.put(kPersistentVolumeClaims, Value::object({{"metadata", std::move(metadata)},
                                                         {"spec", Value::object({{"volumeName", "pv-" + name}})},
                                                         {"status", Value::object({{"phase", "Bound"}})}}));
    const Value reference = Value::object({{"uid", std::string(api::uid_of(claim))}});
    api_.put(kPersistentVolumes, Value::object({{"metadata", Value::object({{"name", "pv-" + name}})},
                                                {"spec", Value::object({{"claimRef", reference}})}}));
  };
  put_claim("one", false);
  put_claim("two", true);
  put("a", R"({"volumes":[{"name":"x","persistentVolumeClaim":{"claimName":"one"}},
                          {"name":"y","persistentVolumeClaim":{"claimName":"two"}}],
               "containers":[{"name":"c","image":"busybox"}]})");
  runtime_.advance(5s);
  EXPECT_TRUE(containers_.specs.empty());
  EXPECT_NE(all_events().find("default/two: PVC is being deleted"), std::string::npos) << all_events();
  put_claim("one", true);
  put_claim("two", false);
  runtime_.advance(125s);
  EXPECT_EQ(containers_.specs.size(), 1u) << all_events();
}

}  // namespace
}  // namespace berth::agent
