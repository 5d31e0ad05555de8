// What the registry makes of jobs: identity, status, generation, and how they go.
#include "apiserver/registry/test_registry.h"

namespace berth::apiserver::registry {
namespace {

using namespace api::resources;  // NOLINT

class JobsTest : public RegistryFixture {
 protected:
  Result<Answer> create(const api::Resource& resource, Value object) {
    return wait([&](Done done) { registry_->create(call(resource), std::move(object), std::move(done)); });
  }
  Result<Answer> patch(const Call& c, std::string_view text) {
    return wait([&](Done done) { registry_->patch(c, api::PatchType::kMerge, parsed(text), false, std::move(done)); });
  }
  Result<Answer> remove(const Call& c, const api::DeleteOptions& options = {}) {
    return wait([&](Done done) { registry_->remove(c, options, std::move(done)); });
  }
};

Value job(const std::string& name, std::string_view metadata = "{}", std::string_view pod_labels = "null") {
  Value object =
      parsed(R"({"metadata":)" + std::string(metadata) + R"(,"spec":{"template":{"metadata":{"labels":)" +
             std::string(pod_labels) +
             R"(},"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"i"}]}}},"status":{"active":7}})");
  object.mut("metadata").set("name", name);
  return object;
}

TEST_F(JobsTest, KnowTheirPodsByTheirIdentity) {
  const Value made = create(kJobs, job("j"))->value();
  const std::string uid(api::uid_of(made));
  const Value labels = Value::object({{"job-name", "j"},
                                      {"controller-uid", uid},
                                      {"batch.kubernetes.io/job-name", "j"},
                                      {"batch.kubernetes.io/controller-uid", uid}});
  EXPECT_EQ(made["spec"]["template"]["metadata"]["labels"], labels);
  EXPECT_EQ(made["metadata"]["labels"], labels);
  EXPECT_EQ(made["spec"]["selector"],
            Value::object({{"matchLabels", Value::object({{"batch.kubernetes.io/controller-uid", uid}})}}));
  EXPECT_EQ(made["metadata"]["generation"].as_int(), 1);
  EXPECT_EQ(made["status"], Value::object());
  EXPECT_EQ(made["spec"]["backoffLimit"].as_int(), 6);
  // Fields that the server added have no owner.
  const std::string fields = json::encode(made["metadata"]["managedFields"]);
  EXPECT_NE(fields.find("f:backoffLimit"), std::string::npos);
  EXPECT_EQ(fields.find("f:selector"), std::string::npos);
  EXPECT_EQ(fields.find("f:labels"), std::string::npos);
}

TEST_F(JobsTest, ANameThatIsNoLabelIsNotBlamedOnTheJobsLabels) {
  const std::string name(64, 'n');
  Result<Answer> refused = create(kJobs, job(name));
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("spec.template.labels: Invalid value: \"" + name), std::string::npos)
      << refused.error().message;
  EXPECT_EQ(refused.error().message.find("metadata.labels"), std::string::npos) << refused.error().message;
}

TEST_F(JobsTest, KeepTheLabelsTheyAreGiven) {
  const Value of_pods = create(kJobs, job("a", "{}", R"({"app":"x"})"))->value();
  EXPECT_EQ(of_pods["metadata"]["labels"].size(), 5u);
  EXPECT_EQ(of_pods["metadata"]["labels"], of_pods["spec"]["template"]["metadata"]["labels"]);
  const Value own = create(kJobs, job("b", R"({"labels":{"mine":"1"}})", R"({"app":"x"})"))->value();
  EXPECT_EQ(own["metadata"]["labels"], parsed(R"({"mine":"1"})"));
  Value manual = job("c", "{}", R"({"app":"x"})");
  manual.mut("spec").set("manualSelector", true).set("selector", parsed(R"({"matchLabels":{"app":"x"}})"));
  EXPECT_EQ(create(kJobs, manual)->value()["spec"]["template"]["metadata"]["labels"], parsed(R"({"app":"x"})"));
  const Result<Answer> clash = create(kJobs, job("d", "{}", R"({"job-name":"other"})"));
  ASSERT_FALSE(clash.ok());
  EXPECT_TRUE(clash.error().message.starts_with(
      "Job.batch \"d\" is invalid: spec.template.metadata.labels[job-name]: Invalid value: "));
}

TEST_F(JobsTest, CountChangesOfTheSpec) {
  ASSERT_TRUE(create(kJobs, job("j")).ok());
  EXPECT_EQ(patch(call(kJobs, "j"), R"({"spec":{"parallelism":2}})")->value()["metadata"]["generation"].as_int(), 2);
  const Value status =
      patch(call(kJobs, "j", "status"), R"({"spec":{"parallelism":5},"status":{"active":2}})")->value();
  EXPECT_EQ(status["metadata"]["generation"].as_int(), 2);
  EXPECT_EQ(status["spec"]["parallelism"].as_int(), 2);
  EXPECT_EQ(status["status"]["active"].as_int(), 2);
  EXPECT_EQ(patch(call(kJobs, "j", "status"), R"({"status":{"active":-2}})").error().message,
            "Job.batch \"j\" is invalid: status.active: Invalid value: -2: must be greater than or equal to 0");
}

TEST_F(JobsTest, LeaveTheirPodsUnlessToldOtherwise) {
  ASSERT_TRUE(create(kJobs, job("j")).ok());
  Result<Answer> silent = remove(call(kJobs, "j"));
  EXPECT_EQ(silent->value()["metadata"]["finalizers"], Value::array({"orphan"}));
  ASSERT_EQ(silent->warnings.size(), 1u);
  EXPECT_TRUE(silent->warnings[0].starts_with("child pods are preserved by default when jobs are deleted"));
  ASSERT_TRUE(create(kJobs, job("k")).ok());
  api::DeleteOptions background;
  background.propagation = "Background";
  EXPECT_TRUE(remove(call(kJobs, "k"), background)->warnings.empty());
  EXPECT_FALSE(wait([&](Done done) { registry_->get(call(kJobs, "k"), std::move(done)); }).ok());
}

TEST_F(JobsTest, WarnOfNamesThatAreNoHosts) {
  const Result<Answer> made = create(kJobs, job("j.k"));
  ASSERT_EQ(made->warnings.size(), 1u);
  EXPECT_TRUE(made->warnings[0].starts_with("metadata.name: this is used in Pod names and hostnames"));
  EXPECT_TRUE(create(kJobs, job("j"))->warnings.empty());
}

TEST_F(JobsTest, AreFoundByTheirSuccesses) {
  ASSERT_TRUE(create(kJobs, job("a")).ok());
  ASSERT_TRUE(create(kJobs, job("b")).ok());
  ASSERT_TRUE(patch(call(kJobs, "b", "status"), R"({"status":{"succeeded":3}})").ok());
  auto found = [&](const char* selector) {
    ListCall which;
    which.field_selector = selector;
    std::string names;
    const Result<ListAnswer> answer = registry_->list(call(kJobs), which);
    for (const store::RecordPtr& record : answer->records) names += std::string(api::name_of(record->value)) + " ";
    return names;
  };
  EXPECT_EQ(found("status.successful=3"), "b ");
  EXPECT_EQ(found("status.successful=0"), "a ");
  EXPECT_EQ(found("status.successful!=0"), "b ");
}

TEST_F(JobsTest, CronJobsDescribeThem) {
  const Value cron = parsed(
      R"({"metadata":{"name":"c"},"spec":{"schedule":"@hourly","jobTemplate":{"spec":{"template":{"spec":{"restartPolicy":"Never",
      "containers":[{"name":"c","image":"i"}]}}}}}})");
  const Value made = create(kCronJobs, cron)->value();
  EXPECT_EQ(made["metadata"]["generation"].as_int(), 1);
  EXPECT_EQ(made["spec"]["concurrencyPolicy"].as_string(), "Allow");
  EXPECT_TRUE(made["spec"]["jobTemplate"]["spec"]["backoffLimit"].is_null());
  EXPECT_EQ(patch(call(kCronJobs, "c"), R"({"spec":{"suspend":true}})")->value()["metadata"]["generation"].as_int(), 2);
  ASSERT_TRUE(remove(call(kCronJobs, "c")).ok());
  EXPECT_FALSE(wait([&](Done done) { registry_->get(call(kCronJobs, "c"), std::move(done)); }).ok());
}

}  // namespace
}  // namespace berth::apiserver::registry
