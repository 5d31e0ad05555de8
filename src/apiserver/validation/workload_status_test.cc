// Counts of workloads, refused as Kubernetes 1.36 does.
#include <gtest/gtest.h>

#include "api/schema/schema.h"
#include "apiserver/validation/validation.h"
#include "base/text.h"

namespace berth::apiserver::validation {
namespace {

std::string complaints(std::string_view kind_name, std::string_view before, std::string_view after) {
  const api::schema::Kind& kind = *api::schema::builtin().find_kind("apps/v1", kind_name);
  auto object = [](std::string_view status) {
    return json::parse(R"({"metadata":{"name":"x","namespace":"d"},"status":)" + std::string(status) + "}").value();
  };
  std::vector<std::string> lines;
  for (const Cause& cause : validate_update(kind, object(before), object(after), "status"))
    lines.push_back(cause.field + ": " + cause.message);
  return join(lines, "\n");
}

TEST(WorkloadStatus, CountsFitEachOther) {
  EXPECT_EQ(complaints("ReplicaSet", "{}",
                       R"({"replicas":2,"fullyLabeledReplicas":2,"readyReplicas":2,"availableReplicas":1})"),
            "");
  EXPECT_EQ(complaints("ReplicaSet", "{}", R"({"replicas":1,"readyReplicas":2,"observedGeneration":-1})"),
            "status.observedGeneration: Invalid value: -1: must be greater than or equal to 0\n"
            "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas");
  EXPECT_EQ(complaints("StatefulSet", "{}", R"({"replicas":1,"availableReplicas":1})"),
            "status.availableReplicas: Invalid value: 1: cannot be greater than status.readyReplicas");
  EXPECT_EQ(complaints("DaemonSet", "{}", R"({"numberAvailable":-1})"),
            "status.numberAvailable: Invalid value: -1: must be greater than or equal to 0");
}

TEST(WorkloadStatus, CollisionsOnlyGrow) {
  EXPECT_EQ(complaints("Deployment", R"({"collisionCount":1})", R"({"collisionCount":2})"), "");
  EXPECT_EQ(complaints("Deployment", R"({"collisionCount":1})", "{}"),
            "status.collisionCount: Invalid value: 0: cannot be decremented");
}

}  // namespace
}  // namespace berth::apiserver::validation
