// The agent with fakes around it: the images of containers.

#include <gtest/gtest.h>

#include "agent/testing/test_agent.h"
#include "base/text.h"

namespace berth::agent {
namespace {

using api::resources::kPods;
using api::resources::kSecrets;

TEST_F(AgentTest, ANewImageRestartsARunningContainer) {
  images_.add("busybox:2");
  put("web-0", R"({"restartPolicy":"Never","containers":[{"name":"c","image":"busybox"}]})");
  Value pod = get("web-0");
  pod.mut("spec").mut("containers").mut(0).set("image", "busybox:2");
  api_.put(kPods, pod);
  runtime_.settle();
  EXPECT_TRUE(has_event("Normal Killing web-0: Container c definition changed, will be restarted")) << all_events();
  EXPECT_EQ(container("web-0")["restartCount"].as_int(), 1);
  EXPECT_EQ(container("web-0")["image"].as_string(), "busybox:2");
  EXPECT_EQ(get("web-0")["status"]["phase"].as_string(), "Running");
  pod = get("web-0");
  pod.mut("spec").mut("containers").mut(0).set("image", "busybox");
  api_.put(kPods, pod);
  runtime_.settle();
  EXPECT_EQ(container("web-0")["restartCount"].as_int(), 2) << "no back-off: it did not fail";
}

TEST_F(AgentTest, AnImageThatCannotBePulledIsLeftForAnother) {
  images_.pull_errors["no-such"] = "not there";
  put("web-0", R"({"containers":[{"name":"c","image":"no-such"}]})");
  runtime_.advance(15s);
  EXPECT_EQ(container("web-0")["state"]["waiting"]["reason"].as_string(), "ImagePullBackOff");
  Value pod = get("web-0");
  pod.mut("spec").mut("containers").mut(0).set("image", "busybox");
  api_.put(kPods, pod);
  runtime_.settle();
  EXPECT_TRUE(container("web-0")["state"]["running"].is_object());
}

TEST_F(AgentTest, ImagesArePulledOrTheReasonIsTold) {
  images_.pull_errors["nothere"] = "manifest unknown";
  put("a", R"({"containers":[{"name":"c","image":"nothere"}]})");
  EXPECT_EQ(container("a")["state"]["waiting"]["reason"].as_string(), "ErrImagePull");
  EXPECT_EQ(container("a")["state"]["waiting"]["message"].as_string(), "manifest unknown");
  EXPECT_TRUE(has_event("Warning Failed a: Failed to pull image \"nothere\": manifest unknown"));
  runtime_.advance(2s);
  EXPECT_EQ(container("a")["state"]["waiting"]["reason"].as_string(), "ImagePullBackOff");
  EXPECT_EQ(get("a")["status"]["phase"].as_string(), "Pending");
  images_.pull_errors.clear();
  runtime_.advance(15s);
  EXPECT_EQ(get("a")["status"]["phase"].as_string(), "Running");
  put("b", R"({"containers":[{"name":"c","image":"other","imagePullPolicy":"Never"}]})");
  EXPECT_EQ(container("b")["state"]["waiting"]["reason"].as_string(), "ErrImageNeverPull");
  EXPECT_EQ(container("b")["state"]["waiting"]["message"].as_string(),
            "Container image \"other\" is not present with pull policy of Never");
  put("d", R"({"containers":[{"name":"c","image":"UPPER case"}]})");
  EXPECT_EQ(container("d")["state"]["waiting"]["reason"].as_string(), "InvalidImageName");
}

TEST_F(AgentTest, PullSecretsAreForTheirRegistry) {
  std::string config =
      R"({"auths":{"registry.test":{"username":"me","password":"pw"},"elsewhere.test":{"auth":"eDp5"}}})";
  api_.put(kSecrets, Value::object({{"metadata", Value::object({{"name", "reg"}, {"namespace", "default"}})},
                                    {"data", Value::object({{".dockerconfigjson", base64_encode(config)}})}}));
  put("a",
      R"({"imagePullSecrets":[{"name":"reg"}],"containers":[{"name":"c","image":"registry.test/x","env":[{"name":"X","valueFrom":{"secretKeyRef":{"name":"reg","key":".dockerconfigjson"}}}]}]})");
  ASSERT_EQ(images_.credentials.size(), 1u);
  EXPECT_EQ(images_.credentials[0].user, "me");
}

}  // namespace
}  // namespace berth::agent
