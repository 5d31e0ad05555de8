// The rows of kinds: each belongs to a kind of the schema, and says what the schema says of subresources.
#include "apiserver/registry/kind_strategy.h"

#include <gtest/gtest.h>

#include <set>

#include "api/resources.h"

namespace berth::apiserver::registry {
namespace {

const api::schema::Schema& schema() { return api::schema::builtin(); }

TEST(KindStrategyTest, RowsAreOfKindsOfTheSchemaAndNoneIsWrittenTwice) {
  std::set<std::string> seen;
  for (std::span<const KindStrategy> rows : kind_rows()) {
    for (const KindStrategy& row : rows) {
      const std::string name = std::string(row.group) + "/" + std::string(row.version) + "/" + std::string(row.kind);
      EXPECT_TRUE(seen.insert(name).second) << name;
      bool found = false;
      for (const api::schema::Kind* kind : schema().kinds())
        found = found || (kind->group == row.group && kind->kind == row.kind &&
                          (row.version.empty() || row.version == kind->version));
      EXPECT_TRUE(found) << name;
    }
  }
}

TEST(KindStrategyTest, SubresourcesWithAKindOfTheirOwnHaveHandlers) {
  // Streams and proxies are rest's.
  const std::set<std::string> streams = {"attach", "exec", "log", "portforward", "proxy"};
  for (const api::schema::Kind* kind : schema().kinds()) {
    const KindStrategy& strategy = strategy_of(*kind);
    for (const api::schema::Subresource& sub : kind->subresource_details) {
      if (sub.kind.empty() || sub.kind == kind->kind || streams.contains(sub.name)) continue;
      const SubresourceStrategy* handlers = strategy.subresource(sub.name);
      ASSERT_NE(handlers, nullptr) << kind->kind << "/" << sub.name;
      for (const std::string& verb : sub.verbs) {
        const bool handled = (verb == "get" && handlers->get) || (verb == "create" && handlers->create) ||
                             (verb == "update" && handlers->update) || (verb == "patch" && handlers->patch);
        EXPECT_TRUE(handled) << kind->kind << "/" << sub.name << " " << verb;
      }
    }
    for (const SubresourceStrategy& handlers : strategy.subresources)
      EXPECT_TRUE(kind->has_subresource(handlers.name)) << kind->kind << "/" << handlers.name;
  }
}

TEST(KindStrategyTest, KindsWithoutARowAreStoredUnderTheirOwnGroup) {
  const KindStrategy& config_map = strategy_of(*schema().find(api::resources::kConfigMaps));
  EXPECT_EQ(config_map.key_prefix, "/registry/core/configmaps/");
  EXPECT_EQ(config_map.prepare_create, nullptr);
  EXPECT_EQ(config_map.storage_kind, schema().find(api::resources::kConfigMaps));
}

TEST(KindStrategyTest, BothFormsOfAKindHaveOneKey) {
  const api::schema::Kind *core = schema().find_kind("v1", "Event"),
                          *renamed = schema().find_kind("events.k8s.io/v1", "Event");
  EXPECT_EQ(store_key(*core, "ns", "e"), "/registry/core/events/ns/e");
  EXPECT_EQ(store_key(*renamed, "ns", "e"), "/registry/core/events/ns/e");
  EXPECT_EQ(strategy_of(*renamed).storage_kind, core);
  const api::schema::Kind *v1 = schema().find_kind("autoscaling/v1", "HorizontalPodAutoscaler"),
                          *v2 = schema().find_kind("autoscaling/v2", "HorizontalPodAutoscaler");
  EXPECT_EQ(store_key(*v1, "ns", "a"), store_key(*v2, "ns", "a"));
  EXPECT_EQ(strategy_of(*v1).storage_kind, v2);
}

// A kind with a status through which metadata cannot be written would keep the labels that a controller sets there.
TEST(KindStrategyTest, StatusWritesTakeMetadataAsUpstreamsDo) {
  for (const api::schema::Kind* kind : schema().kinds()) {
    if (!kind->has_subresource("status")) continue;
    EXPECT_TRUE(strategy_of(*kind).status_takes_metadata) << kind->kind;
  }
}

}  // namespace
}  // namespace berth::apiserver::registry
