// Replays what a real Kubernetes answered (tests/data/recorded/protocol.jsonl, version 1.20) over HTTP, in order.
// Names that the server chose (uids, resource versions, times) are mapped by their order of appearance.
#include <fstream>
#include <map>
#include <set>

#include "apiserver/rest/test_server.h"
#include "base/text.h"
#include "base/time/time.h"

namespace berth::apiserver::rest::testing {
namespace {

// Where our answer is meant to be another one. `ours` is JSON, or "*" for anything.
struct Difference {
  std::string_view case_name, path, ours, why;
};

constexpr std::string_view kRegained =
    "1.20 gave a field back to its former owner when nothing changed; newer versions do not";
constexpr std::string_view kControllers = "recorded with controllers running, which wrote in between";
constexpr std::string_view kEmptyMap = "1.20 forgot an applier of an empty map; newer versions do not";
constexpr std::string_view kNotStored = "nothing of it is stored, so nobody owns its fields";

constexpr Difference kDifferences[] = {
    {"apply drops a field", "metadata.managedFields", "*", kEmptyMap},
    {"update after apply", "metadata.managedFields", "*", kEmptyMap},
    {"not acceptable", "message",
     R"("406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, application/vnd.kubernetes.protobuf, application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch")",
     "names what is served, as newer versions do"},
    {"bad label selector", "message",
     R"("unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt")",
     "newer versions name all operators"},
    {"future resourceVersion", "message", "*", "names the server's own revision"},
    {"no-op update keeps the resourceVersion", "metadata.resourceVersion", "*",
     "1.20 wrote a change of managed fields alone"},
    {"generateName", "metadata.name", "*", "chosen by chance"},
    {"self subject access review", "metadata.managedFields", "null", kNotStored},
    {"token request", "metadata.managedFields", "null", kNotStored},
    {"token request", "metadata.name", R"("default")", "newer versions name the account"},
    {"token request", "metadata.namespace", R"("default")", "newer versions name the account"},
    {"token request", "metadata.uid", "*", "newer versions give the request one"},
    {"token request", "spec.audiences", R"(["https://kubernetes.default.svc.cluster.local"])",
     "the issuer is the server's own"},
    {"token request", "status.token", "*", "signed by the server"},
    {"no-op update keeps the resourceVersion", "metadata.managedFields[0].fieldsV1.f:data", "{}", kRegained},
    {"json patch", "metadata.managedFields[0].fieldsV1.f:data", "{}", kRegained},
    {"merge patch", "metadata.managedFields[0].fieldsV1.f:data", "{}", kRegained},
    {"strategic patch", "metadata.managedFields[0].fieldsV1.f:data", "{}", kRegained},
    {"finalizer holds", "metadata.managedFields[0].fieldsV1.f:data", "{}", kRegained},
    {"delete with finalizer", "metadata.managedFields[0].fieldsV1.f:data", "{}", kRegained},
    {"finalizer released", "metadata.managedFields[0].fieldsV1.f:data", "{}", kRegained},
    {"scale get", "metadata.resourceVersion", "*", kControllers},
    {"scale put", "metadata.resourceVersion", "*", kControllers},
    {"status ignored on main", "metadata.resourceVersion", "*", kControllers},
    {"apply deployment by another manager", "metadata.annotations", "*", kControllers},
    {"apply deployment by another manager", "metadata.managedFields", "*", kControllers},
    {"apply deployment by another manager", "status", "*", kControllers},
    {"status ignored on main", "metadata.annotations", "*", kControllers},
    {"status ignored on main", "metadata.managedFields", "*", kControllers},
    {"status ignored on main", "status", "*", kControllers},
    {"delete orphan", "metadata.annotations", "*", kControllers},
    {"delete orphan", "metadata.managedFields", "*", kControllers},
    {"delete orphan", "status", "*", kControllers},
};

constexpr bool is_chosen(std::string_view key) { return key == "uid" || key == "resourceVersion"; }
bool is_time(std::string_view key) {
  return key == "time" || key == "creationTimestamp" || key == "deletionTimestamp" || key == "lastUpdateTime" ||
         key == "lastTransitionTime" || key == "expirationTimestamp";
}

class Replay : public ::testing::Test {
 protected:
  // Steps that the recording left out.
  void prepare(const std::string& name) {
    if (name == "generateName") {
      for (int i = 0; i < 5; ++i) {
        server_.create("/api/v1/namespaces/default/configmaps",
                       Value::object({{"metadata", Value::object({{"name", "pg" + std::to_string(i)}})}}));
      }
    }
    if (name == "apply conflict") {
      server_.ask("PATCH", "/api/v1/namespaces/default/configmaps/sa?fieldManager=m1",
                  R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"sa"},"data":{"x":"1","y":"1"}})",
                  {{"content-type", "application/apply-patch+yaml"}});
    }
    if (name == "token request") {
      server_.create("/api/v1/namespaces/default/serviceaccounts",
                     Value::object({{"metadata", Value::object({{"name", "default"}})}}));
    }
  }

  // What the recording calls X is called Y here.
  Value translated(const Value& value, std::string_view key = {}) {
    if (value.is_string()) {
      if (auto at = ours_.find(value.str()); is_chosen(key) && at != ours_.end()) return at->second;
      return value;
    }
    Value out = value;
    for (auto [name, member] : value.entries()) out.set(name, translated(member, name));
    for (std::size_t i = 0; i < (value.is_array() ? value.size() : 0); ++i) out.mut(i) = translated(value[i]);
    return out;
  }

  std::string translated_text(std::string text) {
    for (const auto& [theirs, here] : ours_) {
      if (theirs.size() < 36) continue;
      for (std::size_t at; (at = text.find(theirs)) != text.npos;) text.replace(at, theirs.size(), here);
    }
    return text;
  }

  const Difference* difference(const std::string& path) const {
    for (const Difference& d : kDifferences) {
      if (d.case_name == case_ && d.path == path) return &d;
    }
    return nullptr;
  }

  void same(const Value& theirs, const Value& here, const std::string& path, std::string_view key) {
    if (const Difference* d = difference(path)) {
      if (d->ours == "*") return;
      EXPECT_EQ(json::encode(here), json::encode(json::parse(d->ours).value())) << case_ << ": " << path;
      return;
    }
    // Newer versions leave out the time where there is none.
    if (key == "creationTimestamp" && theirs.is_null()) return;
    if (is_time(key)) {
      EXPECT_TRUE(parse_time(here.as_string()).ok()) << case_ << ": " << path << ": " << json::encode(here);
      return;
    }
    if (is_chosen(key) && theirs.is_string()) {
      EXPECT_FALSE(here.as_string().empty()) << case_ << ": " << path;
      auto [at, is_new] = ours_.emplace(theirs.str(), here.str());
      EXPECT_EQ(at->second, here.as_string()) << case_ << ": " << path << " was another one before";
      EXPECT_TRUE(!is_new || taken_.insert(here.str()).second) << case_ << ": " << path << " appeared before";
      return;
    }
    if (theirs.is_object() && here.is_object()) {
      std::set<std::string> names;
      for (auto [name, member] : theirs.entries()) names.insert(std::string(name));
      for (auto [name, member] : here.entries()) names.insert(std::string(name));
      for (const std::string& name : names)
        same(theirs[name], here[name], path.empty() ? name : path + "." + name, name);
      return;
    }
    if (theirs.is_array() && here.is_array() && theirs.size() == here.size()) {
      for (std::size_t i = 0; i < theirs.size(); ++i)
        same(theirs[i], here[i], path + "[" + std::to_string(i) + "]", "");
      return;
    }
    if (std::string wanted = translated_text(json::encode(theirs)), found = json::encode(here); wanted != found) {
      ADD_FAILURE() << case_ << ": " << path << ": " << wanted << " became " << found;
    }
  }

  void replay(const Value& line) {
    case_ = line["case"].str();
    if (case_ == "unknown path") return;  // 1.20 listed the paths it had; newer versions answer with a line of text
    prepare(case_);
    http::Headers headers;
    for (const char* name : {"content-type", "accept"}) {
      if (line[name].is_string()) headers.emplace_back(name, line[name].str());
    }
    const Value body = translated(line["body"]);
    std::string text = body.is_null() ? "" : body.is_string() ? body.str() : json::encode(body);
    if (case_ == "bad token") headers.emplace_back("authorization", "Bearer nonsense");
    bool outside = case_ == "anonymous" || case_ == "bad token";
    Answered answer = outside ? server_.ask_from_outside(line["method"].str(), line["path"].str(), text, headers)
                              : server_.ask(line["method"].str(), line["path"].str(), text, headers);
    EXPECT_EQ(answer.status, line["code"].as_int()) << case_ << ": " << answer.body;
    EXPECT_EQ(answer.header("content-type"), "application/json") << case_;
    EXPECT_EQ(answer.header("retry-after"), line["headers"]["Retry-After"].as_string()) << case_;
    same(line["response"], answer.json(), "", "");
  }

  TestServer server_;
  std::string case_;
  std::map<std::string, std::string> ours_;
  std::set<std::string> taken_;
};

TEST_F(Replay, AnswersAreKubernetesOwn) {
  std::ifstream file(BERTH_SOURCE_DIR "/tests/data/recorded/protocol.jsonl");
  ASSERT_TRUE(file.good());
  int cases = 0;
  for (std::string text; std::getline(file, text); ++cases) {
    Result<Value> line = json::parse(text);
    ASSERT_TRUE(line.ok());
    replay(*line);
  }
  EXPECT_EQ(cases, 49);
}

}  // namespace
}  // namespace berth::apiserver::rest::testing
