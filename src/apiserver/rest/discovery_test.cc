// Discovery against what a Kubernetes 1.20 listed, for the groups and kinds that we have.
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "apiserver/openapi/openapi.h"
#include "apiserver/rest/test_server.h"

namespace berth::apiserver::rest::testing {
namespace {

class DiscoveryTest : public ::testing::Test {
 protected:
  Value recorded() {
    std::ifstream file(BERTH_SOURCE_DIR "/tests/data/recorded/discovery.json");
    std::stringstream text;
    text << file.rdbuf();
    return json::parse(text.str()).value();
  }
  TestServer server_;
};

std::string sorted(const Value& strings) {
  std::set<std::string> all;
  for (const Value& s : strings) all.insert(s.str());
  std::string out;
  for (const std::string& s : all) out += s + " ";
  return out;
}

// `ours` must say about each resource what the recording says, as far as both have it.
int compare_lists(const std::string& path, const Value& theirs, const Value& ours) {
  std::map<std::string, Value> by_name;
  for (const Value& resource : theirs["resources"]) by_name[resource["name"].str()] = resource;
  int compared = 0;
  for (const Value& resource : ours["resources"]) {
    auto at = by_name.find(resource["name"].str());
    if (at == by_name.end()) continue;
    ++compared;
    const Value& wanted = at->second;
    std::string where = path + " " + at->first;
    for (const char* field : {"kind", "namespaced", "group", "storageVersionHash"}) {
      // 1.20 still stored these in an older form.
      const std::string kind_name = resource["kind"].str();
      const bool restored =
          kind_name == "Lease" || kind_name == "HorizontalPodAutoscaler" || kind_name == "RuntimeClass";
      if (restored && field == std::string_view("storageVersionHash")) continue;
      EXPECT_EQ(json::encode(resource[field]), json::encode(wanted[field])) << where << " " << field;
    }
    // policy/v1beta1 is gone since 1.25.
    std::string version = wanted["version"].str();
    if (version == "v1beta1") version = "v1";
    EXPECT_EQ(resource["version"].as_string(), version) << where;
    for (const char* field : {"shortNames", "categories", "verbs"}) {
      std::string expected = sorted(wanted[field]);
      // Services can be deleted as a collection since 1.23.
      if (where == "/api/v1 services" && field == std::string_view("verbs")) {
        expected = "create delete deletecollection get list patch update watch ";
      }
      EXPECT_EQ(sorted(resource[field]), expected) << where << " " << field;
    }
    bool subresource = at->first.find('/') != std::string::npos;
    EXPECT_EQ(resource["singularName"].as_string().empty(), subresource) << where;
  }
  return compared;
}

TEST_F(DiscoveryTest, SaysWhatKubernetesSays) {
  const Value theirs = recorded();
  int compared = 0;
  for (auto [path, list] : theirs.entries()) {
    if (list["kind"].as_string() != "APIResourceList") continue;
    Answered ours = server_.ask("GET", std::string(path));
    if (ours.status == 404) continue;
    EXPECT_EQ(ours.json()["groupVersion"].as_string(), list["groupVersion"].as_string());
    compared += compare_lists(std::string(path), list, ours.json());
  }
  EXPECT_GE(compared, 48);
}

TEST_F(DiscoveryTest, Groups) {
  Value versions = server_.ask("GET", "/api").json();
  EXPECT_EQ(versions["kind"].as_string(), "APIVersions");
  EXPECT_EQ(json::encode(versions["versions"]), R"(["v1"])");
  Value groups = server_.ask("GET", "/apis").json();
  EXPECT_EQ(groups["kind"].as_string(), "APIGroupList");
  bool apps = false;
  for (const Value& group : groups["groups"]) {
    apps = apps || group["name"].as_string() == "apps";
    Value alone = server_.ask("GET", "/apis/" + group["name"].str()).json();
    EXPECT_EQ(alone["kind"].as_string(), "APIGroup");
    EXPECT_EQ(alone["versions"], group["versions"]);
    std::string version = group["preferredVersion"]["groupVersion"].str();
    EXPECT_EQ(server_.ask("GET", "/apis/" + version).json()["groupVersion"].as_string(), version);
  }
  EXPECT_TRUE(apps);
  EXPECT_EQ(server_.ask("GET", "/apis/no.such.group").status, 404);
}

TEST_F(DiscoveryTest, AggregatedTellsTheSame) {
  for (const char* version : {"v2"}) {
    std::string media =
        std::string("application/json;g=apidiscovery.k8s.io;v=") + version + ";as=APIGroupDiscoveryList";
    for (const char* root : {"/api", "/apis"}) {
      Answered answer = server_.ask("GET", root, "", {{"accept", media + ",application/json"}});
      EXPECT_EQ(answer.header("content-type"), media);
      Value all = answer.json();
      EXPECT_EQ(all["kind"].as_string(), "APIGroupDiscoveryList");
      EXPECT_EQ(all["apiVersion"].as_string(), std::string("apidiscovery.k8s.io/") + version);
      for (const Value& group : all["items"]) {
        for (const Value& each : group["versions"]) {
          std::string path = root + (root == std::string("/api") ? "/" : "/" + group["metadata"]["name"].str() + "/") +
                             each["version"].str();
          std::map<std::string, std::string> verbs;
          for (const Value& resource : each["resources"]) {
            verbs[resource["resource"].str()] = sorted(resource["verbs"]);
            for (const Value& sub : resource["subresources"]) {
              verbs[resource["resource"].str() + "/" + sub["subresource"].str()] = sorted(sub["verbs"]);
            }
          }
          Value plain = server_.ask("GET", path).json();
          EXPECT_EQ(verbs.size(), plain["resources"].size()) << path;
          for (const Value& resource : plain["resources"])
            EXPECT_EQ(verbs[resource["name"].str()], sorted(resource["verbs"])) << path;
        }
      }
    }
  }
}

TEST_F(DiscoveryTest, WhoHasADocumentIsToldSo) {
  const std::string aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
  const std::string proto(openapi::kV2ProtobufAccept);
  std::map<std::string, std::string> tags;
  for (const auto& [path, accept] :
       {std::pair<std::string, std::string>{"/api", aggregated}, {"/apis", aggregated}, {"/openapi/v2", proto}}) {
    Answered first = server_.ask("GET", path, "", {{"accept", accept}});
    EXPECT_EQ(first.status, 200);
    tags[path] = first.header("etag");
    EXPECT_EQ(tags[path].size(), 66u) << tags[path];
    Answered again = server_.ask("GET", path, "", {{"accept", accept}, {"if-none-match", tags[path]}});
    EXPECT_EQ(again.status, 304);
    EXPECT_EQ(again.body, "");
    EXPECT_EQ(again.header("etag"), tags[path]);
    EXPECT_EQ(again.header("cache-control"), path == "/openapi/v2" ? "no-cache, private" : "public");
    EXPECT_EQ(server_.ask("GET", path, "", {{"accept", accept}, {"if-none-match", "\"old\""}}).body, first.body);
  }
  EXPECT_NE(tags["/api"], tags["/apis"]);
  EXPECT_EQ(server_.ask("GET", "/api", "", {{"if-none-match", tags["/api"]}}).status, 200) << "another form of it";
}

TEST_F(DiscoveryTest, OpenApi) {
  Answered plain = server_.ask("GET", "/openapi/v2");
  EXPECT_EQ(plain.header("content-type"), "application/json");
  EXPECT_EQ(plain.json()["swagger"].as_string(), "2.0");
  Answered packed = server_.ask("GET", "/openapi/v2", "", {{"accept", std::string(openapi::kV2ProtobufAccept)}});
  EXPECT_EQ(packed.header("content-type"), openapi::kV2ProtobufContentType);
  EXPECT_EQ(packed.body, openapi::v2_protobuf(api::schema::builtin()));
  Value index = server_.ask("GET", "/openapi/v3").json();
  std::string url = index["paths"]["apis/apps/v1"]["serverRelativeURL"].str();
  ASSERT_FALSE(url.empty());
  Answered hashed = server_.ask("GET", url);
  EXPECT_EQ(hashed.json()["openapi"].as_string(), "3.0.0");
  EXPECT_EQ(hashed.header("cache-control"), "public, immutable, max-age=31536000");
  EXPECT_EQ(server_.ask("GET", "/openapi/v3/apis/apps/v1").header("cache-control"), "no-cache, private");
  Answered moved = server_.ask("GET", "/openapi/v3/apis/apps/v1?hash=OLD");
  EXPECT_EQ(moved.status, 301);
  EXPECT_EQ(moved.header("location"), url);
  EXPECT_EQ(server_.ask("GET", "/openapi/v3/apis/none/v1").status, 404);
}

}  // namespace
}  // namespace berth::apiserver::rest::testing
