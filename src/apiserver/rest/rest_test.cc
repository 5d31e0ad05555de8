#include "apiserver/protobuf/protobuf.h"
#include "apiserver/rest/negotiate.h"
#include "apiserver/rest/route.h"
#include "apiserver/rest/test_server.h"
#include "base/metrics.h"
#include "base/yaml/yaml.h"
#include "http/query_flag.h"

namespace berth::apiserver::rest::testing {
namespace {

const std::string kConfigMaps = "/api/v1/namespaces/default/configmaps";
const http::Headers kYaml = {{"content-type", "application/yaml"}};

Value config_map(const std::string& name, const std::string& text = "1") {
  return Value::object({{"metadata", Value::object({{"name", name}})}, {"data", Value::object({{"k", text}})}});
}

class RestTest : public ::testing::Test {
 protected:
  TestServer server_;
};

TEST(Route, Parts) {
  Route pod = parse_route("/api/v1/namespaces/ns/pods/x/log");
  EXPECT_TRUE(pod.is_resource);
  EXPECT_EQ(pod.group, "");
  EXPECT_EQ(pod.version, "v1");
  EXPECT_EQ(pod.ns, "ns");
  EXPECT_EQ(pod.resource, "pods");
  EXPECT_EQ(pod.name, "x");
  EXPECT_EQ(pod.subresource, "log");
  Route set = parse_route("/apis/apps/v1/statefulsets/");
  EXPECT_EQ(set.group, "apps");
  EXPECT_EQ(set.resource, "statefulsets");
  EXPECT_EQ(set.name, "");
  Route space = parse_route("/api/v1/namespaces/ns/finalize");
  EXPECT_EQ(space.resource, "namespaces");
  EXPECT_EQ(space.name, "ns");
  EXPECT_EQ(space.subresource, "finalize");
  EXPECT_EQ(parse_route("/api/v1/namespaces/ns").name, "ns");
  EXPECT_EQ(parse_route("/api/v1/nodes/n/proxy/a/b").rest, "/a/b");
  for (const char* path : {"/", "/api", "/api/v1", "/apis/apps/v1", "/version", "/openapi/v3/apis/apps/v1"}) {
    EXPECT_FALSE(parse_route(path).is_resource) << path;
  }
}

TEST(Route, Verbs) {
  Route one = parse_route("/api/v1/namespaces/ns/pods/x"), all = parse_route("/api/v1/pods");
  EXPECT_EQ(request_verb("GET", one, false), "get");
  EXPECT_EQ(request_verb("HEAD", all, false), "list");
  EXPECT_EQ(request_verb("GET", all, true), "watch");
  EXPECT_EQ(request_verb("GET", parse_route("/api/v1/watch/pods"), false), "watch");
  EXPECT_EQ(request_verb("DELETE", one, false), "delete");
  EXPECT_EQ(request_verb("DELETE", all, false), "deletecollection");
  EXPECT_EQ(request_verb("PATCH", one, false), "patch");
}

TEST(Negotiate, FirstThatIsServedWins) {
  EXPECT_EQ(negotiate("").encoding, Encoding::kJson);
  EXPECT_EQ(negotiate("application/vnd.kubernetes.protobuf,application/json").encoding, Encoding::kProtobuf);
  EXPECT_EQ(negotiate("application/json,application/vnd.kubernetes.protobuf").encoding, Encoding::kJson);
  EXPECT_EQ(negotiate("application/yaml").encoding, Encoding::kYaml);
  EXPECT_FALSE(negotiate("application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io").acceptable);
  EXPECT_FALSE(negotiate("application/json;as=Table;v=v2;g=meta.k8s.io").acceptable);
  // By quality, wildcards last; a quality that is no number is none.
  EXPECT_EQ(negotiate("application/yaml;q=0.2, application/json;q=0.9").encoding, Encoding::kJson);
  EXPECT_EQ(negotiate("application/vnd.kubernetes.protobuf;q=0.1,application/yaml").encoding, Encoding::kYaml);
  EXPECT_EQ(negotiate("*/*, application/yaml").encoding, Encoding::kYaml);
  EXPECT_EQ(negotiate("application/yaml, application/json").encoding, Encoding::kYaml);
  EXPECT_EQ(negotiate("application/yaml;q=high, application/json;q=0.1").encoding, Encoding::kJson);
  EXPECT_EQ(negotiate(std::string(60'000, ',') + "application/yaml").encoding, Encoding::kYaml);
  EXPECT_EQ(negotiate("application/json;as=Table;v=v1beta1;g=meta.k8s.io").table_version, "v1beta1");
  EXPECT_EQ(negotiate("application/json;as=Nonsense;v=v1;g=meta.k8s.io,application/json").as, As::kObject);
  EXPECT_EQ(negotiate("text/html, */*").as, As::kObject);
}

TEST(Negotiate, StreamsAreJsonOrProtobuf) {
  EXPECT_EQ(negotiate("application/vnd.kubernetes.protobuf;stream=watch", true).encoding, Encoding::kProtobuf);
  EXPECT_EQ(negotiate("application/yaml,application/json", true).encoding, Encoding::kJson);
  EXPECT_FALSE(negotiate("application/yaml", true).acceptable);
}

TEST_F(RestTest, YamlInAndOut) {
  Answered made = server_.ask("POST", kConfigMaps, "metadata:\n  name: yam\ndata:\n  k: \"1\"\n", kYaml);
  EXPECT_EQ(made.status, 201) << made.body;
  Answered got = server_.ask("GET", kConfigMaps + "/yam", "", {{"accept", "application/yaml"}});
  EXPECT_EQ(got.header("content-type"), "application/yaml");
  Result<Value> parsed = yaml::parse(got.body);
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ((*parsed)["data"]["k"].as_string(), "1");
  Answered broken = server_.ask("POST", kConfigMaps, "a: [", kYaml);
  EXPECT_EQ(broken.status, 400);
  EXPECT_EQ(broken.json()["reason"].as_string(), "BadRequest");
}

TEST_F(RestTest, ProtobufAnswers) {
  server_.create(kConfigMaps, config_map("a"));
  const http::Headers accept = {{"accept", "application/vnd.kubernetes.protobuf,application/json"}};
  auto decoded = [&](const std::string& path, int status) {
    Answered answer = server_.ask("GET", path, "", accept);
    EXPECT_EQ(answer.status, status);
    EXPECT_EQ(answer.header("content-type"), "application/vnd.kubernetes.protobuf");
    return protobuf::decode(api::schema::builtin(), answer.body).value();
  };
  Value one = decoded(kConfigMaps + "/a", 200), all = decoded(kConfigMaps, 200);
  EXPECT_EQ(one["metadata"]["name"], "a");
  EXPECT_EQ(all["kind"], "ConfigMapList");
  EXPECT_EQ(all["items"][0]["metadata"]["name"], "a");
  EXPECT_EQ(decoded(kConfigMaps + "/nope", 404)["reason"], "NotFound");
  // What has no such form is JSON.
  EXPECT_EQ(server_.ask("GET", "/version", "", accept).header("content-type"), "application/json");
}

// Lists share the encodings of their items, whatever their number and size; the bytes are those of the whole list
// encoded at once.
TEST_F(RestTest, ProtobufListsEncodeEachVersionOnce) {
  metrics::Counter& made = metrics::counter("berth_protobuf_encodings_total", "");
  const http::Headers accept = {{"accept", "application/vnd.kubernetes.protobuf"}};
  auto expect_list = [&](const std::string& query, std::uint64_t encodings) {
    Value list = server_.ask("GET", kConfigMaps + query).json();
    for (std::size_t i = 0; i < list["items"].size(); ++i)
      list.mut("items").mut(i).set("apiVersion", "v1").set("kind", "ConfigMap");
    const std::uint64_t before = made.value();
    Answered answer = server_.ask("GET", kConfigMaps + query, "", accept);
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.header("content-type"), "application/vnd.kubernetes.protobuf");
    EXPECT_EQ(made.value() - before, encodings) << query;
    Value decoded = protobuf::decode(api::schema::builtin(), answer.body).value();
    for (std::size_t i = 0; i < decoded["items"].size(); ++i)
      decoded.mut("items").mut(i).set("apiVersion", "v1").set("kind", "ConfigMap");
    EXPECT_EQ(decoded["items"].size(), list["items"].size());
    if (!list["items"].empty()) {
      EXPECT_EQ(decoded["items"], list["items"]);  // an empty one has no form
    }
    EXPECT_EQ(decoded["metadata"]["resourceVersion"], list["metadata"]["resourceVersion"]);
    EXPECT_EQ(decoded["kind"].as_string(), "ConfigMapList");
    EXPECT_EQ(answer.body, protobuf::encode(api::schema::builtin(), list).value());
  };
  const std::size_t before = server_.ask("GET", kConfigMaps).json()["items"].size();
  expect_list("", before);
  for (int i = 0; i < 20; ++i)
    server_.create(kConfigMaps,
                   config_map("m" + std::to_string(i), std::string(static_cast<std::size_t>(i) * 20, 'x')));
  expect_list("", 20);
  expect_list("", 0);
  expect_list("?fieldSelector=metadata.name%3Dm7", 0);
  expect_list("?labelSelector=none", 0);
  const std::uint64_t made_before = made.value();
  EXPECT_EQ(protobuf::decode(api::schema::builtin(), server_.ask("GET", kConfigMaps + "/m3", "", accept).body)
                .value()["metadata"]["name"],
            "m3");
  EXPECT_EQ(made.value(), made_before) << "one object shares it too";
  server_.ask("DELETE", kConfigMaps + "/m3");
  server_.ask("PUT", kConfigMaps + "/m4", json::encode(config_map("m4", "new")),
              {{"content-type", "application/json"}});
  expect_list("", 1);
}

TEST_F(RestTest, Tables) {
  server_.create(kConfigMaps, config_map("a"));
  const http::Headers accept = {{"accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}};
  Value list = server_.ask("GET", kConfigMaps, "", accept).json();
  EXPECT_EQ(list["kind"].as_string(), "Table");
  EXPECT_EQ(list["apiVersion"].as_string(), "meta.k8s.io/v1");
  EXPECT_EQ(list["columnDefinitions"].size(), 3u);
  EXPECT_EQ(list["rows"][0]["cells"][0].as_string(), "a");
  EXPECT_EQ(list["rows"][0]["object"]["kind"].as_string(), "PartialObjectMetadata");
  EXPECT_FALSE(list["metadata"]["resourceVersion"].as_string().empty());
  Value one = server_.ask("GET", kConfigMaps + "/a?includeObject=Object", "", accept).json();
  EXPECT_EQ(one["rows"][0]["object"]["kind"].as_string(), "ConfigMap");
  EXPECT_TRUE(
      server_.ask("GET", kConfigMaps + "?includeObject=None", "", accept).json()["rows"][0]["object"].is_null());
  Answered absent = server_.ask("GET", kConfigMaps + "/zz", "", accept);
  EXPECT_EQ(absent.status, 404);
  EXPECT_EQ(absent.json()["kind"].as_string(), "Status");
}

TEST_F(RestTest, PartialMetadata) {
  server_.create(kConfigMaps, config_map("a"));
  const http::Headers accept = {{"accept", "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"}};
  Value list = server_.ask("GET", kConfigMaps, "", accept).json();
  EXPECT_EQ(list["kind"].as_string(), "PartialObjectMetadataList");
  EXPECT_EQ(list["items"][0]["kind"].as_string(), "PartialObjectMetadata");
  EXPECT_EQ(list["items"][0]["metadata"]["name"].as_string(), "a");
  EXPECT_FALSE(list["items"][0].contains("data"));
}

TEST_F(RestTest, PagesOfAForgottenVersionGoOnFromNow) {
  for (int i = 0; i < 3; ++i) server_.create(kConfigMaps, config_map("p" + std::to_string(i)));
  Value first = server_.ask("GET", kConfigMaps + "?limit=1").json();
  const std::string version = first["metadata"]["resourceVersion"].str();
  // A page is of the version that was asked for.
  server_.create(kConfigMaps, config_map("a"));
  EXPECT_EQ(
      server_.ask("GET", kConfigMaps + "?limit=1&resourceVersion=" + version).json()["items"][0]["metadata"]["name"],
      "p0");
  server_.create(kConfigMaps, config_map("p1x"));
  server_.store().compact(server_.store().revision());
  Answered expired = server_.ask("GET", kConfigMaps + "?limit=1&continue=" + first["metadata"]["continue"].str());
  EXPECT_EQ(expired.status, 410);
  const std::string more = expired.json()["metadata"]["continue"].str();
  ASSERT_FALSE(more.empty());
  Value rest = server_.ask("GET", kConfigMaps + "?continue=" + more).json();
  ASSERT_EQ(rest["items"].size(), 3u);
  EXPECT_EQ(rest["items"][1]["metadata"]["name"], "p1x");
  for (const char* match : {"", "&resourceVersionMatch=Exact"}) {
    Answered old = server_.ask("GET", kConfigMaps + "?limit=1&resourceVersion=" + version + match);
    EXPECT_EQ(old.status, 410);
    EXPECT_EQ(old.json()["message"], "The resourceVersion for the provided list is too old.");
  }
}

TEST_F(RestTest, PagesCoverEverythingOnce) {
  for (int i = 0; i < 5; ++i) server_.create(kConfigMaps, config_map("p" + std::to_string(i)));
  std::string names, more;
  int pages = 0;
  do {
    Value page = server_.ask("GET", kConfigMaps + "?limit=2" + (more.empty() ? "" : "&continue=" + more)).json();
    for (const Value& item : page["items"]) names += item["metadata"]["name"].str() + " ";
    more = page["metadata"]["continue"].str();
    EXPECT_EQ(page["metadata"]["remainingItemCount"].as_int(), std::max(0, 3 - 2 * pages));
  } while (++pages < 10 && !more.empty());
  EXPECT_EQ(names, "p0 p1 p2 p3 p4 ");
  EXPECT_EQ(pages, 3);
}

TEST_F(RestTest, TooLargeABody) {
  Answered answer = server_.ask("POST", kConfigMaps, std::string((3u << 20) + 1, ' '), TestServer::kJson);
  EXPECT_EQ(answer.status, 413);
  EXPECT_EQ(answer.header("content-type"), "application/json");
  EXPECT_EQ(answer.json()["reason"].as_string(), "RequestEntityTooLarge");
  EXPECT_EQ(answer.json()["message"].as_string(), "Request entity too large: limit is 3145728");
  EXPECT_EQ(answer.json()["code"].as_int(), 413);
}

TEST_F(RestTest, FieldValidation) {
  const std::string text = R"({"metadata":{"name":"f"},"data":{"k":"1","k":"2"},"dota":1})";
  Answered strict = server_.ask("POST", kConfigMaps + "?fieldValidation=Strict", text, TestServer::kJson);
  EXPECT_EQ(strict.status, 400);
  EXPECT_NE(strict.json()["message"].str().find("strict decoding error: "), std::string::npos);
  EXPECT_NE(strict.json()["message"].str().find("duplicate field \"data.k\""), std::string::npos) << strict.body;
  EXPECT_NE(strict.json()["message"].str().find("unknown field \"dota\""), std::string::npos) << strict.body;
  Answered warned = server_.ask("POST", kConfigMaps, text, TestServer::kJson);
  EXPECT_EQ(warned.status, 201);
  std::string warnings;
  for (const auto& [name, value] : warned.headers) warnings += name == "warning" ? value + "\n" : "";
  EXPECT_NE(warnings.find("299 - \"unknown field \\\"dota\\\"\""), std::string::npos) << warnings;
  EXPECT_NE(warnings.find("299 - \"duplicate field \\\"data.k\\\"\""), std::string::npos) << warnings;
  EXPECT_EQ(warned.json()["data"]["k"].as_string(), "2");
  Answered ignored = server_.ask("PUT", kConfigMaps + "/f?fieldValidation=Ignore", text, TestServer::kJson);
  EXPECT_EQ(ignored.status, 200);
  EXPECT_EQ(ignored.header("warning"), "");
  EXPECT_EQ(server_.ask("PUT", kConfigMaps + "/f?fieldValidation=Odd", text, TestServer::kJson).status, 422);
}

TEST_F(RestTest, DryRunStoresNothing) {
  Answered dry = server_.ask("POST", kConfigMaps + "?dryRun=All", json::encode(config_map("d")), TestServer::kJson);
  EXPECT_EQ(dry.status, 201);
  EXPECT_EQ(dry.json()["metadata"]["name"].as_string(), "d");
  EXPECT_EQ(server_.ask("GET", kConfigMaps + "/d").status, 404);
  server_.create(kConfigMaps, config_map("d"));
  EXPECT_EQ(server_.ask("DELETE", kConfigMaps + "/d?dryRun=All").status, 200);
  EXPECT_EQ(server_.ask("GET", kConfigMaps + "/d").status, 200);
  EXPECT_EQ(server_.ask("POST", kConfigMaps + "?dryRun=Some", json::encode(config_map("e")), TestServer::kJson).status,
            422);
}

TEST_F(RestTest, UnknownFieldsAreListedAsTheyComeInAJsonBody) {
  auto refusal = [&](const std::string& body, const http::Headers& headers) {
    return server_.ask("POST", kConfigMaps + "?fieldValidation=Strict", body, headers).json()["message"].str();
  };
  const std::string fields = R"({"zz":1,"metadata":{"name":"s"},"aa":2})";
  for (const char* before : {"", " \n"}) {
    EXPECT_TRUE(refusal(before + fields, TestServer::kJson)
                    .ends_with(R"(strict decoding error: unknown field "zz", unknown field "aa")"))
        << before;
  }
  // YAML goes through a map, whose keys are sorted.
  EXPECT_TRUE(refusal(fields, kYaml).ends_with(R"(strict decoding error: unknown field "aa", unknown field "zz")"))
      << refusal(fields, kYaml);
}

TEST_F(RestTest, KeysThatAnApplyRepeatsAreToldAsAskedFor) {
  auto apply = [&](const std::string& validation) {
    return server_.ask("PATCH", kConfigMaps + "/r?fieldManager=m&fieldValidation=" + validation,
                       "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: r\ndata:\n  a: \"1\"\n  a: \"2\"\n",
                       {{"content-type", "application/apply-patch+yaml"}});
  };
  EXPECT_EQ(apply("Strict").status, 400);
  EXPECT_EQ(apply("Ignore").header("warning"), "");
  EXPECT_NE(apply("Warn").header("warning").find("line 7"), std::string::npos) << apply("Warn").header("warning");
}

TEST_F(RestTest, AccessReviewsSayWhatOfTheirSelectorsTheyIgnore) {
  auto review = [&](const std::string& selectors) {
    const std::string body =
        R"({"apiVersion":"authorization.k8s.io/v1","kind":"LocalSubjectAccessReview","spec":{"user":"u","resourceAttributes":{
        "namespace":"default","verb":"list","resource":"pods",)" +
        selectors + "}}}";
    const Value answer = server_
                             .ask("POST", "/apis/authorization.k8s.io/v1/namespaces/default/localsubjectaccessreviews",
                                  body, TestServer::kJson)
                             .json();
    EXPECT_EQ(answer["metadata"]["namespace"].as_string(), "default");
    return answer["status"]["evaluationError"].str();
  };
  EXPECT_EQ(review(R"("fieldSelector":{"requirements":[{"key":"a","operator":"In","values":["b"]}]})"), "");
  EXPECT_EQ(review(R"("fieldSelector":{"requirements":[{"key":"a","operator":"In","values":["b","c"]}]})"),
            "spec.resourceAttributes.fieldSelector ignored due to parse error");
  EXPECT_EQ(
      review(
          R"("labelSelector":{"requirements":[{"key":"a","operator":"Exists"},{"key":"b","operator":"Exists","values":["c"]}]})"),
      "spec.resourceAttributes.labelSelector partially ignored due to parse error");
  EXPECT_EQ(review(R"("labelSelector":{"rawSelector":"a b c"})"),
            "spec.resourceAttributes.labelSelector ignored due to parse error");
}

TEST_F(RestTest, DeleteOptionsFromQueryAndBody) {
  const std::string pods = "/api/v1/namespaces/default/pods";
  Result<Value> pod = json::parse(
      R"({"metadata":{"name":"p"},"spec":{"nodeName":"n","containers":[{"name":"c","image":"i"}],"terminationGracePeriodSeconds":30}})");
  ASSERT_EQ(server_.create(pods, *pod).status, 201);
  EXPECT_EQ(server_.ask("DELETE", pods + "/p?gracePeriodSeconds=x").status, 400);
  EXPECT_EQ(server_.ask("DELETE", pods + "/p", R"({"propagationPolicy":"Odd"})", TestServer::kJson).status, 422);
  EXPECT_EQ(server_.ask("DELETE", pods + "/p", "{", TestServer::kJson).status, 400);
  Answered marked = server_.ask("DELETE", pods + "/p", R"({"gracePeriodSeconds":7})", TestServer::kJson);
  EXPECT_EQ(marked.json()["metadata"]["deletionGracePeriodSeconds"].as_int(), 7);
  Answered gone = server_.ask("DELETE", pods + "/p?gracePeriodSeconds=0");
  EXPECT_EQ(gone.status, 200);
  EXPECT_EQ(server_.ask("GET", pods + "/p").status, 404);
}

TEST_F(RestTest, DeleteWithProtobufOptions) {
  server_.create(kConfigMaps, config_map("d"));
  // Unknown{typeMeta{v1, DeleteOptions}, raw{preconditions{uid: "x"}}}
  const std::string raw("\x12\x03\x0a\x01x", 5);
  const std::string meta = std::string("\x0a\x02v1\x12\x0d") + "DeleteOptions";
  std::string body("k8s\0", 4);
  body += std::string("\x0a") + static_cast<char>(meta.size()) + meta + "\x12" + static_cast<char>(raw.size()) + raw;
  Answered refused =
      server_.ask("DELETE", kConfigMaps + "/d", body, {{"content-type", "application/vnd.kubernetes.protobuf"}});
  EXPECT_EQ(refused.status, 409) << refused.body;
}

// Whatever the verb, the path and the media type: no object may be made of such a body, nor the server be ended by it.
TEST_F(RestTest, BodiesThatAreNoObjectsAreRefused) {
  constexpr const char* kBodies[] = {"[]", "1", "'x'", "\"x\"", "true", "[1,{}]", "1.5e3", "- a"};
  constexpr const char* kTypes[] = {"application/json",
                                    "application/yaml",
                                    "application/vnd.kubernetes.protobuf",
                                    "application/merge-patch+json",
                                    "application/strategic-merge-patch+json",
                                    "application/json-patch+json",
                                    "application/apply-patch+yaml"};
  server_.create(kConfigMaps, config_map("there"));
  const std::string pods = "/api/v1/namespaces/default/pods", sets = "/apis/apps/v1/namespaces/default/statefulsets";
  const std::pair<const char*, std::string> kRequests[] = {
      {"DELETE", kConfigMaps + "/there"},
      {"DELETE", kConfigMaps},
      {"POST", kConfigMaps},
      {"PUT", kConfigMaps + "/there"},
      {"PATCH", kConfigMaps + "/there?fieldManager=m"},
      {"POST", pods + "/p/eviction"},
      {"POST", pods + "/p/binding"},
      {"POST", "/api/v1/namespaces/default/bindings"},
      {"PUT", sets + "/s/scale"},
      {"PATCH", sets + "/s/scale"},
      {"PUT", "/api/v1/namespaces/default/finalize"},
      {"POST", "/api/v1/namespaces"},
      {"DELETE", "/api/v1/namespaces/none"},
      {"POST", "/api/v1/namespaces/default/serviceaccounts/default/token"},
      {"PUT", pods + "/p/status"},
      {"PATCH", pods + "/p/resize"},
      {"POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"},
      {"POST", "/apis/authentication.k8s.io/v1/tokenreviews"}};
  for (const auto& [method, path] : kRequests) {
    for (const char* type : kTypes) {
      for (const char* body : kBodies) {
        if (std::string_view(type) == "application/json-patch+json" && std::string_view(body) == "[]")
          continue;  // changes nothing
        const int status = server_.ask(method, path, body, {{"content-type", type}}).status;
        EXPECT_TRUE(status >= 400 && status < 500)
            << status << " " << method << " " << path << " " << type << " " << body;
      }
    }
  }
  EXPECT_EQ(server_.ask("GET", kConfigMaps + "/there").status, 200);
  EXPECT_NE(server_.ask("DELETE", kConfigMaps + "/there", "[]", {{"content-type", "application/yaml"}})
                .body.find("cannot unmarshal array"),
            std::string::npos);
}

TEST_F(RestTest, PathsWithDoubledSlashesAreNotFound) {
  for (const char* method : {"GET", "POST", "PUT", "DELETE"}) {
    for (const char* path :
         {"/api/v1/namespaces/default//configmaps", "/api//v1/configmaps", "//", "/version//", "/api/v1//"}) {
      EXPECT_EQ(server_.ask(method, path, std::string_view(method) == "POST" ? "{}" : "").status, 404)
          << method << " " << path;
    }
  }
}

TEST_F(RestTest, ReadingIsDoneByGetAlone) {
  for (const char* method : {"HEAD", "TRACE"}) {
    EXPECT_EQ(server_.ask(method, kConfigMaps).status, 405);
    EXPECT_EQ(server_.ask(method, kConfigMaps + "/zz").status, 405);
    EXPECT_EQ(server_.ask(method, "/version").status, 405);
  }
  EXPECT_EQ(server_.ask("PUT", "/version", "{}").status, 405);
  EXPECT_EQ(server_.ask("POST", "/api/v1", "{}").status, 405);
}

TEST_F(RestTest, ItemsOfAListDoNotSayWhatTheyAre) {
  server_.create(
      kConfigMaps,
      json::parse(R"({"metadata":{"name":"sly"},"data":{"a":"\"kind\":\"ConfigMap\",\"metadata\":{"}})").value());
  for (const char* query : {"", "?pretty=1"}) {
    Value list = server_.ask("GET", kConfigMaps + query).json();
    EXPECT_EQ(list["kind"].as_string(), "ConfigMapList");
    ASSERT_FALSE(list["items"].empty());
    for (const Value& item : list["items"]) {
      EXPECT_FALSE(item.contains("kind"));
      EXPECT_FALSE(item.contains("apiVersion"));
      EXPECT_FALSE(item["metadata"]["name"].as_string().empty());
    }
  }
  // A member of any shape may look like the kind.
  const std::string revisions = "/apis/apps/v1/namespaces/default/controllerrevisions";
  server_.create(
      revisions,
      json::parse(R"({"metadata":{"name":"r"},"revision":1,"data":{"kind":"ControllerRevision","metadata":{}}})")
          .value());
  Value item = server_.ask("GET", revisions).json()["items"][0];
  EXPECT_FALSE(item.contains("kind"));
  EXPECT_EQ(item["data"]["kind"].as_string(), "ControllerRevision");
}

TEST_F(RestTest, BooleansOfTheQueryAreTrueUnlessTheySayNo) {
  const http::Request said{.query = {{"a", "True"}, {"b", ""}, {"c", "0"}, {"d", "FALSE"}, {"e", "no"}}};
  EXPECT_TRUE(http::query_flag(said, "a") && http::query_flag(said, "b") && http::query_flag(said, "e"));
  EXPECT_FALSE(http::query_flag(said, "c") || http::query_flag(said, "d") || http::query_flag(said, "f"));
  for (const char* no : {"", "allowWatchBookmarks=0", "watch=false", "watch=FALSE"}) {
    EXPECT_EQ(server_.ask("GET", kConfigMaps + "?" + no).json()["kind"].as_string(), "ConfigMapList") << no;
  }
}

TEST_F(RestTest, OptionsOfDeletionsAreChecked) {
  server_.create(kConfigMaps, json::parse(R"({"metadata":{"name":"gone"}})").value());
  const std::string path = kConfigMaps + "/gone";
  EXPECT_EQ(server_.ask("DELETE", path, R"({"propagationPolicy":"Bogus"})").status, 422);
  EXPECT_EQ(server_.ask("DELETE", path, R"({"propagationPolicy":"Orphan","orphanDependents":true})").status, 422);
  EXPECT_EQ(server_.ask("DELETE", path, R"({"dryRun":["x"]})").status, 422);
  EXPECT_EQ(server_.ask("DELETE", path, R"({"kind":"Foo","apiVersion":"v1"})").status, 400);
  EXPECT_EQ(server_.ask("DELETE", path, "{").status, 400);
  EXPECT_EQ(server_.ask("DELETE", path, R"({"dryRun":["All"]})").status, 200);
  EXPECT_EQ(server_.ask("GET", path).status, 200);
  EXPECT_EQ(server_.ask("DELETE", path + "?gracePeriodSeconds=0&dryRun=All").status, 200);
  EXPECT_EQ(server_.ask("DELETE", path).status, 200);
  EXPECT_EQ(server_.ask("GET", path).status, 404);
}

TEST_F(RestTest, WhoMayDoWhat) {
  EXPECT_EQ(server_.ask_from_outside("GET", kConfigMaps, "", {{"authorization", "Bearer admin-token"}}).status, 200);
  Answered joe =
      server_.ask_from_outside("GET", "/apis/apps/v1/statefulsets/x", "", {{"authorization", "Bearer joe-token"}});
  EXPECT_EQ(joe.status, 403);
  joe = server_.ask_from_outside("DELETE", "/apis/apps/v1/namespaces/ns/statefulsets/x", "",
                                 {{"authorization", "Bearer joe-token"}});
  EXPECT_EQ(joe.json()["message"].as_string(),
            "statefulsets.apps \"x\" is forbidden: User \"joe\" cannot delete resource \"statefulsets\" in API group "
            "\"apps\" in the "
            "namespace \"ns\"");
  EXPECT_EQ(joe.json()["details"]["group"].as_string(), "apps");
  Answered path = server_.ask_from_outside("GET", "/metrics");
  EXPECT_EQ(path.status, 403);
  EXPECT_EQ(path.json()["message"].as_string(), "forbidden: User \"system:anonymous\" cannot get path \"/metrics\"");
  EXPECT_EQ(server_.ask_from_outside("GET", "/version").status, 200);
  EXPECT_EQ(server_.ask_from_outside("GET", "/readyz").body, "ok");
  EXPECT_EQ(server_.ask_from_outside("GET", "/apis", "", {{"authorization", "Bearer joe-token"}}).status, 200);
  EXPECT_EQ(server_.ask_from_outside("GET", "/apis", "", {{"authorization", "Basic eDp5"}}).status, 403);
}

TEST_F(RestTest, HealthChecks) {
  EXPECT_EQ(server_.ask("GET", "/healthz?verbose").body, "[+]ping ok\n[+]log ok\n[+]etcd ok\nhealthz check passed\n");
  const std::string all =
      "[+]ping ok\n[+]log ok\n[+]etcd ok\n[+]etcd-readiness ok\n[+]informer-sync ok\n[+]shutdown ok\n";
  EXPECT_EQ(server_.ask("GET", "/readyz?verbose").body, all + "readyz check passed\n");
  EXPECT_EQ(server_.ask("GET", "/readyz/informer-sync").body, "ok");
  EXPECT_EQ(server_.ask("GET", "/livez/informer-sync").status, 404);
  EXPECT_EQ(server_.ask("GET", "/livez/nope").status, 404);
  EXPECT_EQ(server_.ask("GET", "/livez").header("cache-control"), "no-cache, private");
  EXPECT_EQ(server_.ask("GET", "/livezz").status, 404);
  EXPECT_EQ(
      server_.ask("GET", "/livez?verbose&exclude=etcd&exclude=b&exclude=a").body,
      "[+]ping ok\n[+]log ok\n[+]etcd excluded: ok\nwarn: some health checks cannot be excluded: no matches for \"a\",\"b\"\n"
      "livez check passed\n");
  EXPECT_EQ(server_.ask("GET", "/livez?exclude=nope").body, "ok");

  server_.set_ready(false);
  EXPECT_EQ(server_.ask("GET", "/livez").body, "ok");
  Answered answer = server_.ask("GET", "/readyz?exclude=informer-sync");
  EXPECT_EQ(answer.status, 500);
  EXPECT_EQ(
      answer.body,
      "[+]ping ok\n[+]log ok\n[+]etcd ok\n[-]etcd-readiness failed: reason withheld\n[+]informer-sync excluded: ok\n"
      "[+]shutdown ok\nreadyz check failed\n");
  EXPECT_EQ(server_.ask("GET", "/readyz?exclude=informer-sync&exclude=etcd-readiness").body, "ok");
  EXPECT_EQ(server_.ask("GET", "/readyz/etcd").body, "ok");
  EXPECT_EQ(server_.ask("GET", "/readyz/informer-sync").status, 500);
}

TEST_F(RestTest, ComponentStatuses) {
  const std::string path = "/api/v1/componentstatuses";
  auto health = [](const Value& status) {
    return status["metadata"]["name"].str() + " " + status["conditions"][0]["status"].str() + " " +
           status["conditions"][0]["message"].str();
  };
  Answered answer = server_.ask("GET", path);
  EXPECT_EQ(answer.header("warning"), "299 - \"v1 ComponentStatus is deprecated in v1.19+\"");
  EXPECT_EQ(answer.json()["kind"].as_string(), "ComponentStatusList");
  ASSERT_EQ(answer.json()["items"].size(), 3u);
  EXPECT_EQ(health(answer.json()["items"][1]), "scheduler True ok");
  EXPECT_EQ(server_.ask("GET", path + "?fieldSelector=metadata.name%3Detcd-0").json()["items"].size(), 1u);
  EXPECT_EQ(server_.ask("GET", path + "?labelSelector=a%3Db").json()["items"].size(), 0u);
  answer = server_.ask("PATCH", path + "/x", "{}", {{"content-type", "application/merge-patch+json"}});
  EXPECT_EQ(answer.status, 405);
  EXPECT_EQ(answer.header("warning"), "");
  answer = server_.ask("GET", path + "/x");
  EXPECT_EQ(answer.status, 500);
  EXPECT_EQ(answer.json()["message"].as_string(), "Component not found: x");

  server_.set_ready(false);
  EXPECT_EQ(health(server_.ask("GET", path + "/etcd-0").json()), "etcd-0 True ok");
  EXPECT_EQ(health(server_.ask("GET", path + "/scheduler").json()), "scheduler False still reading the stored state");
  Value table =
      server_.ask("GET", path + "/scheduler", "", {{"accept", "application/json;as=Table;v=v1;g=meta.k8s.io"}}).json();
  EXPECT_EQ(json::encode(table["rows"][0]["cells"]),
            R"(["scheduler","Unhealthy","still reading the stored state",""])");
}

TEST_F(RestTest, TokensAreVerifiedWithKeysFromTheServersAddress) {
  Answered answer = server_.ask("GET", "/.well-known/openid-configuration");
  EXPECT_EQ(answer.header("cache-control"), "public, max-age=3600");
  EXPECT_EQ(server_.ask("GET", "/openid/v1/jwks").header("cache-control"), "public, max-age=3600");
  Value found = answer.json();
  EXPECT_EQ(found["issuer"].as_string(), "https://issuer.test");
  EXPECT_EQ(found["jwks_uri"].as_string(), "https://10.0.0.1:6443/openid/v1/jwks");
  EXPECT_EQ(json::encode(found["id_token_signing_alg_values_supported"]), R"(["ES256","RS256"])");
}

TEST_F(RestTest, Impersonation) {
  const std::string who = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
  Value info = server_.ask("POST", who, "{}", {{"impersonate-user", "eve"}, {"impersonate-group", "g"}})
                   .json()["status"]["userInfo"];
  EXPECT_EQ(json::encode(info), R"({"groups":["g","system:authenticated"],"username":"eve"})");
  EXPECT_EQ(server_.ask("GET", kConfigMaps, "", {{"impersonate-user", "eve"}}).status, 403);
  Answered refused =
      server_.ask_from_outside("POST", who, "{}", {{"authorization", "Bearer joe-token"}, {"impersonate-user", "eve"}});
  EXPECT_EQ(refused.json()["message"].as_string(),
            "users \"eve\" is forbidden: User \"joe\" cannot impersonate resource \"users\" in API group \"\" at the "
            "cluster scope");
  EXPECT_EQ(server_.ask("GET", kConfigMaps, "", {{"impersonate-group", "g"}}).status, 400);
}

TEST_F(RestTest, PeopleGetPrettyText) {
  auto lines = [&](const std::string& query, http::Headers headers) {
    std::string body = server_.ask("GET", "/api/v1/namespaces/default" + query, "", std::move(headers)).body;
    return std::count(body.begin(), body.end(), '\n');
  };
  EXPECT_EQ(lines("", {}), 1);
  EXPECT_GT(lines("?pretty=true", {}), 5);
  EXPECT_GT(lines("", {{"user-agent", "curl/8"}}), 5);
  EXPECT_EQ(lines("?pretty=false", {{"user-agent", "curl/8"}}), 1);
}

TEST_F(RestTest, Reviews) {
  const http::Headers joe = {{"authorization", "Bearer joe-token"}, {"content-type", "application/json"}};
  Value access = server_
                     .ask_from_outside("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
                                       R"({"spec":{"resourceAttributes":{"verb":"get","resource":"pods"}}})", joe)
                     .json();
  EXPECT_FALSE(access["status"]["allowed"].as_bool(true));
  Value who = server_.ask_from_outside("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", "{}", joe).json();
  EXPECT_EQ(who["status"]["userInfo"]["username"].as_string(), "joe");
  EXPECT_EQ(json::encode(who["status"]["userInfo"]["groups"]), R"(["staff","system:authenticated"])");
  const std::string tokens = "/apis/authentication.k8s.io/v1/tokenreviews";
  Value good = server_.ask("POST", tokens, R"({"spec":{"token":"joe-token"}})", TestServer::kJson).json();
  EXPECT_TRUE(good["status"]["authenticated"].as_bool());
  EXPECT_EQ(good["status"]["user"]["username"].as_string(), "joe");
  EXPECT_FALSE(server_.ask("POST", tokens, R"({"spec":{"token":"?"}})", TestServer::kJson)
                   .json()["status"]["authenticated"]
                   .as_bool());
}

TEST_F(RestTest, OperationsThatDoNotExist) {
  server_.create(kConfigMaps, config_map("a"));
  ASSERT_EQ(server_
                .ask("POST", "/api/v1/namespaces/default/pods",
                     R"({"metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i"}]}})", TestServer::kJson)
                .status,
            201);
  const char* kRequests[][2] = {{"DELETE", "/api/v1/configmaps"},
                                {"POST", "/api/v1/configmaps"},
                                {"POST", "/api/v1/namespaces/default/configmaps/a"},
                                {"PATCH", "/api/v1/namespaces/default/configmaps"},
                                {"DELETE", "/api/v1/namespaces"},
                                {"DELETE", "/api/v1/namespaces/default/pods/p/status"},
                                {"POST", "/api/v1/namespaces/default/pods/p/status"},
                                {"GET", "/api/v1/namespaces/default/pods/p/eviction"},
                                {"PUT", "/api/v1/namespaces/default/pods/p/log"},
                                {"GET", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"}};
  for (auto [method, path] : kRequests) {
    Answered refused = server_.ask(method, path, std::string_view(method) == "POST" ? "{}" : "");
    EXPECT_EQ(refused.status, 405) << method << " " << path << " " << refused.body;
  }
  EXPECT_EQ(server_.ask("GET", kConfigMaps + "/a").status, 200);
  EXPECT_EQ(server_.ask("GET", "/api/v1/namespaces/default/pods/p").status, 200);
}

TEST_F(RestTest, UnknownResourcesAreNotFound) {
  for (const char* path : {"/api/v1/nonsense", "/apis/apps/v9/deployments", "/api/v1/namespaces/default/nodes",
                           "/api/v1/namespaces/default/configmaps/a/scale"}) {
    EXPECT_EQ(server_.ask("GET", path).status, 404) << path;
  }
}

}  // namespace
}  // namespace berth::apiserver::rest::testing
