#include "agent/dns/cluster_dns.h"

#include <gtest/gtest.h>

namespace berth::agent {
namespace {

using net::dns::DnsRecord;
using net::dns::RecordType;

Value parsed(std::string_view text) { return json::parse(text).value(); }

const Value kHeadless = parsed(R"({"metadata":{"name":"mysql","namespace":"default"},
  "spec":{"clusterIP":"None","ports":[{"name":"sql","port":3306}]}})");

Value slice(std::string_view endpoints) {
  return parsed(R"({"metadata":{"name":"mysql-a","namespace":"default","labels":{"kubernetes.io/service-name":"mysql"}},
    "ports":[{"name":"sql","port":3306,"protocol":"TCP"}],"endpoints":)" +
                std::string(endpoints) + "}");
}

bool has(const std::vector<DnsRecord>& records, const DnsRecord& wanted) {
  return std::find(records.begin(), records.end(), wanted) != records.end();
}

TEST(ClusterDns, HeadlessMembersHaveNamesOfTheirOwn) {
  auto records = service_records(kHeadless, {slice(R"([
      {"addresses":["10.244.0.5"],"hostname":"mysql-0","conditions":{"ready":true}},
      {"addresses":["10.244.0.6"],"hostname":"mysql-1","conditions":{"ready":true}}])")},
                                 "cluster.local");
  const std::string name = "mysql.default.svc.cluster.local";
  EXPECT_TRUE(has(records, {name, RecordType::kA, "10.244.0.5"}));
  EXPECT_TRUE(has(records, {"mysql-1." + name, RecordType::kA, "10.244.0.6"}));
  EXPECT_TRUE(has(records, {"_sql._tcp." + name, RecordType::kSrv, "mysql-0." + name, 3306, 50}));
  EXPECT_TRUE(has(records, {name, RecordType::kSrv, "mysql-1." + name, 3306, 50}));
  EXPECT_TRUE(has(records, {"6.0.244.10.in-addr.arpa", RecordType::kPtr, "mysql-1." + name}));
}

TEST(ClusterDns, OnlyReadyMembersAreNamedUnlessAskedFor) {
  Value endpoints = slice(R"([{"addresses":["10.244.0.5"],"hostname":"mysql-0","conditions":{"ready":false}}])");
  EXPECT_TRUE(service_records(kHeadless, {endpoints}, "cluster.local").empty());
  Value eager = kHeadless;
  eager.mut("spec").set("publishNotReadyAddresses", true);
  EXPECT_TRUE(has(service_records(eager, {endpoints}, "cluster.local"),
                  {"mysql-0.mysql.default.svc.cluster.local", RecordType::kA, "10.244.0.5"}));
}

TEST(ClusterDns, ServicesWithAnAddressAndExternalNames) {
  Value service = parsed(
      R"({"metadata":{"name":"web","namespace":"shop"},"spec":{"clusterIP":"10.96.3.4","ports":[{"name":"http","port":80}]}})");
  auto records = service_records(service, {}, "cluster.local");
  EXPECT_TRUE(has(records, {"web.shop.svc.cluster.local", RecordType::kA, "10.96.3.4"}));
  EXPECT_TRUE(has(records, {"4.3.96.10.in-addr.arpa", RecordType::kPtr, "web.shop.svc.cluster.local"}));
  EXPECT_TRUE(
      has(records, {"_http._tcp.web.shop.svc.cluster.local", RecordType::kSrv, "web.shop.svc.cluster.local", 80, 100}));
  Value external = parsed(
      R"({"metadata":{"name":"db","namespace":"shop"},"spec":{"type":"ExternalName","externalName":"DB.example.com"}})");
  EXPECT_TRUE(has(service_records(external, {}, "cluster.local"),
                  {"db.shop.svc.cluster.local", RecordType::kCname, "db.example.com"}));
  EXPECT_TRUE(service_records(Value(), {}, "cluster.local").empty());
}

}  // namespace
}  // namespace berth::agent
