// What the registry itself does to workloads.
#include "apiserver/registry/test_registry.h"

namespace berth::apiserver::registry {
namespace {

using namespace api::resources;  // NOLINT

class WorkloadsTest : public RegistryValues {};

constexpr const char* kDaemonSet = R"({"metadata":{"name":"d"},"spec":{"selector":{"matchLabels":{"a":"b"}},
    "template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i:1"}]}}}})";

TEST_F(WorkloadsTest, DaemonSetsCountTheirTemplates) {
  constexpr const char* kCount = "deprecated.daemonset.template.generation";
  Value set = create(kDaemonSets, kDaemonSet);
  EXPECT_EQ(api::annotation_of(set, kCount), "1");
  EXPECT_EQ(set["metadata"]["generation"].as_int(), 1);
  EXPECT_EQ(
      set["status"],
      parsed(R"({"currentNumberScheduled":0,"numberMisscheduled":0,"desiredNumberScheduled":0,"numberReady":0})"));
  const Call c = call(kDaemonSets, "d");
  set = patch(c, R"({"spec":{"minReadySeconds":3}})");
  EXPECT_EQ(api::annotation_of(set, kCount), "1");
  EXPECT_EQ(set["metadata"]["generation"].as_int(), 2);
  set = patch(c, R"({"spec":{"template":{"metadata":{"labels":{"x":"y"}}}}})");
  EXPECT_EQ(api::annotation_of(set, kCount), "2");
  EXPECT_EQ(set["metadata"]["generation"].as_int(), 3);
  // The count is the server's: a client that writes another number, or none, changes nothing.
  const std::string version(api::resource_version_of(set));
  EXPECT_EQ(api::annotation_of(
                patch(c, R"({"metadata":{"annotations":{"deprecated.daemonset.template.generation":"7"}}})"), kCount),
            "2");
  set = patch(c, R"({"metadata":{"annotations":null}})");
  EXPECT_EQ(api::annotation_of(set, kCount), "2");
  EXPECT_EQ(api::resource_version_of(set), version);
}

constexpr const char* kReplicationController =
    R"({"metadata":{"name":"r"},"spec":{"template":{"metadata":{"labels":{"a":"b"}},
    "spec":{"containers":[{"name":"c","image":"i:1"}]}}}})";

TEST_F(WorkloadsTest, ReplicationControllersScale) {
  Value rc = create(kReplicationControllers, kReplicationController);
  EXPECT_EQ(rc["status"], parsed(R"({"replicas":0})"));
  EXPECT_EQ(rc["spec"]["selector"], parsed(R"({"a":"b"})"));
  EXPECT_EQ(rc["metadata"]["labels"], parsed(R"({"a":"b"})"));
  EXPECT_EQ(rc["metadata"]["generation"].as_int(), 1);
  const Value scale = patch(call(kReplicationControllers, "r", "scale"), R"({"spec":{"replicas":4}})");
  EXPECT_EQ(scale["spec"]["replicas"].as_int(), 4);
  EXPECT_EQ(scale["status"], parsed(R"({"replicas":0,"selector":"a=b"})"));
  rc = get(call(kReplicationControllers, "r"));
  EXPECT_EQ(rc["spec"]["replicas"].as_int(), 4);
  EXPECT_EQ(rc["metadata"]["generation"].as_int(), 2);
}

TEST_F(WorkloadsTest, ReplicationControllersLeaveTheirPodsUnlessTold) {
  const auto removed = [&](const char* propagation) {
    create(kReplicationControllers, kReplicationController);
    api::DeleteOptions options;
    options.propagation = propagation;
    (void)wait([&](Done done) { registry_->remove(call(kReplicationControllers, "r"), options, std::move(done)); });
    const Result<Answer> left =
        wait([&](Done done) { registry_->get(call(kReplicationControllers, "r"), std::move(done)); });
    if (!left.ok()) return std::string("gone");
    const std::string finalizer = left->value()["metadata"]["finalizers"][0].str();
    patch(call(kReplicationControllers, "r"), R"({"metadata":{"finalizers":null}})");
    return finalizer;
  };
  EXPECT_EQ(removed(""), "orphan");
  EXPECT_EQ(removed("Background"), "gone");
  EXPECT_EQ(removed("Foreground"), "foregroundDeletion");
}

TEST_F(WorkloadsTest, PodTemplatesCountTheirChanges) {
  const api::Resource templates{"", "v1", "podtemplates"};
  Value one =
      create(templates, R"({"metadata":{"name":"t"},"template":{"spec":{"containers":[{"name":"c","image":"i:1"}]}}})");
  EXPECT_EQ(one["metadata"]["generation"].as_int(), 1);
  EXPECT_EQ(one["template"]["spec"]["restartPolicy"].as_string(), "Always");
  one = patch(call(templates, "t"), R"({"metadata":{"labels":{"x":"y"}}})");
  EXPECT_EQ(one["metadata"]["generation"].as_int(), 1);
  one = patch(call(templates, "t"), R"({"template":{"metadata":{"labels":{"x":"y"}}}})");
  EXPECT_EQ(one["metadata"]["generation"].as_int(), 2);
}

}  // namespace
}  // namespace berth::apiserver::registry
