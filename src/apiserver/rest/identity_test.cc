// Authentication and authorization, and that no body is read before them.
#include "apiserver/rest/test_server.h"
#include "base/text.h"

namespace berth::apiserver::rest::testing {
namespace {

const std::string kWho = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
const std::string kTokens = "/apis/authentication.k8s.io/v1/tokenreviews";

class IdentityTest : public ::testing::Test {
 protected:
  // userInfo of the answer, or its message.
  std::string who(http::Headers headers) {
    headers.emplace_back("content-type", "application/json");
    Value answer =
        server_.ask("POST", kWho, R"({"kind":"SelfSubjectReview","apiVersion":"authentication.k8s.io/v1"})", headers)
            .json();
    return answer["code"].is_null() ? json::encode(answer["status"]["userInfo"])
                                    : std::to_string(answer["code"].as_int()) + " " + answer["message"].str();
  }
  std::string as_node(const std::string& method, const std::string& target, const std::string& body = "") {
    Answered answer = server_.ask(method, target, body,
                                  {{"impersonate-user", "system:node:na"},
                                   {"impersonate-group", "system:nodes"},
                                   {"content-type", "application/json"}});
    return answer.status < 300 ? std::to_string(answer.status)
                               : std::to_string(answer.status) + " " + answer.json()["message"].str();
  }
  void make(const std::string& target, const std::string& text) {
    ASSERT_EQ(server_.ask("POST", target, text, TestServer::kJson).status, 201) << target;
  }
  TestServer server_;
};

TEST_F(IdentityTest, Impersonation) {
  EXPECT_EQ(who({{"impersonate-user", "alice"}}), R"({"groups":["system:authenticated"],"username":"alice"})");
  EXPECT_EQ(who({{"impersonate-user", "alice"}, {"impersonate-group", "dev"}, {"impersonate-uid", "u"}}),
            R"({"groups":["dev","system:authenticated"],"uid":"u","username":"alice"})");
  EXPECT_EQ(
      who({{"impersonate-user", "system:serviceaccount:proto:default"}}),
      R"({"groups":["system:serviceaccounts","system:serviceaccounts:proto","system:authenticated"],"username":"system:serviceaccount:proto:default"})");
  EXPECT_EQ(who({{"impersonate-user", "system:serviceaccount:proto:default"}, {"impersonate-group", "x"}}),
            R"({"groups":["x","system:authenticated"],"username":"system:serviceaccount:proto:default"})");
  EXPECT_EQ(who({{"impersonate-user", "system:serviceaccount:x"}}),
            R"({"groups":["system:authenticated"],"username":"system:serviceaccount:x"})");
  EXPECT_EQ(who({{"impersonate-user", "alice"},
                 {"impersonate-extra-acme.com%2fproject", "p"},
                 {"impersonate-extra-acme.com%2fproject", "q"}}),
            R"({"extra":{"acme.com/project":["p","q"]},"groups":["system:authenticated"],"username":"alice"})");
  EXPECT_EQ(
      who({{"impersonate-uid", "u"}}),
      R"(400 requested &user.DefaultInfo{Name:"", UID:"u", Groups:[]string(nil), Extra:map[string][]string(nil)} without impersonating a user name)");
  EXPECT_EQ(
      who({{"impersonate-group", "g"}, {"impersonate-extra-k", "v"}}),
      R"(400 requested &user.DefaultInfo{Name:"", UID:"", Groups:[]string{"g"}, Extra:map[string][]string{"k":[]string{"v"}}} without impersonating a user name)");
  EXPECT_EQ(who({{"impersonate-user", ""}}),
            R"({"groups":["system:masters","system:authenticated"],"username":"system:admin"})");
  EXPECT_EQ(
      who({{"impersonate-user", "system:anonymous"}}),
      R"(403 selfsubjectreviews.authentication.k8s.io is forbidden: User "system:anonymous" cannot create resource "selfsubjectreviews" in API group "authentication.k8s.io" at the cluster scope)");
}

TEST_F(IdentityTest, OnlyAdministratorsImpersonate) {
  auto refusal = [this](http::Headers headers) {
    headers.emplace_back("authorization", "Bearer joe-token");
    return server_.ask_from_outside("GET", "/api", "", headers).json()["message"].str();
  };
  EXPECT_EQ(
      refusal({{"impersonate-user", "system:serviceaccount:ns:sa"}}),
      R"(serviceaccounts "sa" is forbidden: User "joe" cannot impersonate resource "serviceaccounts" in API group "" in the namespace "ns")");
  EXPECT_EQ(
      refusal({{"impersonate-user", "eve"}, {"impersonate-group", "system:masters"}}),
      R"(users "eve" is forbidden: User "joe" cannot impersonate resource "users" in API group "" at the cluster scope)");
}

// Other schemes are ignored, so their user is anonymous; a bearer token must be known.
TEST_F(IdentityTest, AuthorizationHeaders) {
  auto status = [this](std::string value) {
    return server_.ask_from_outside("GET", "/api/v1/pods", "", {{"authorization", std::move(value)}}).status;
  };
  EXPECT_EQ(status("Bearer nope"), 401);
  EXPECT_EQ(status("Bearer eyJhbGciOiJub25lIn0.e30."), 401);
  EXPECT_EQ(status("bearer admin-token"), 200);
  EXPECT_EQ(status("Basic YTpi"), 403);
  EXPECT_EQ(status("nope"), 403);
  EXPECT_EQ(status("Bearer"), 403);
}

TEST_F(IdentityTest, TokenReviews) {
  auto review = [this](std::string spec) {
    Value answer = server_
                       .ask("POST", kTokens,
                            R"({"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1","spec":)" + spec + "}",
                            TestServer::kJson)
                       .json();
    return answer["code"].is_null() ? json::encode(answer["status"])
                                    : std::to_string(answer["code"].as_int()) + " " + answer["message"].str();
  };
  EXPECT_EQ(
      review(R"({"token":"admin-token"})"),
      R"({"audiences":["https://kubernetes.default.svc.cluster.local"],"authenticated":true,"user":{"groups":["system:masters","system:authenticated"],"uid":"admin-uid","username":"admin"}})");
  EXPECT_EQ(review(R"({"token":"nope"})"), R"({"error":"invalid bearer token","user":{}})");
  EXPECT_EQ(review(R"({"token":"old-token"})"),
            R"({"error":"[invalid bearer token, service account token has expired]","user":{}})");
  EXPECT_EQ(review(R"({"token":""})"), "400 token is required for TokenReview in authentication");
  EXPECT_EQ(
      review(R"({"token":5})"),
      R"(400 TokenReview in version "v1" cannot be handled as a TokenReview: json: cannot unmarshal number into Go struct field TokenReviewSpec.spec.token of type string)");
}

TEST_F(IdentityTest, AccessReviewsAreChecked) {
  auto review = [this](const std::string& kind, const std::string& spec, const std::string& ns = "") {
    const std::string path =
        "/apis/authorization.k8s.io/v1/" + (ns.empty() ? "" : "namespaces/" + ns + "/") + lower(kind) + "s";
    Value answer = server_
                       .ask("POST", path,
                            R"({"apiVersion":"authorization.k8s.io/v1","kind":")" + kind + R"(","spec":)" + spec + "}",
                            TestServer::kJson)
                       .json();
    return answer["code"].is_null() ? json::encode(answer["status"]) : answer["message"].str();
  };
  const std::string kNone = R"(.authorization.k8s.io "" is invalid: )";
  EXPECT_EQ(
      review("SelfSubjectAccessReview", "{}"),
      kNone +
          "spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified");
  EXPECT_EQ(
      review("SelfSubjectAccessReview",
             R"({"resourceAttributes":{"verb":"get"},"nonResourceAttributes":{"path":"/"}})"),
      kNone +
          R"(spec.nonResourceAttributes: Invalid value: {"Path":"/","Verb":""}: cannot be specified in combination with resourceAttributes)");
  EXPECT_EQ(review("SubjectAccessReview", R"({"resourceAttributes":{"verb":"get","resource":"pods"}})"),
            kNone + R"(spec.user: Invalid value: "": at least one of user or group must be specified)");
  EXPECT_EQ(
      review("LocalSubjectAccessReview",
             R"({"user":"a","resourceAttributes":{"verb":"get","resource":"pods","namespace":"other"}})", "default"),
      kNone + R"(spec.resourceAttributes.namespace: Invalid value: "other": must match metadata.namespace)");
  EXPECT_EQ(review("SubjectAccessReview", R"({"user":"a","resourceAttributes":{"verb":"get","resource":"pods"}})"),
            R"({"allowed":false})");
  EXPECT_EQ(review("SubjectAccessReview",
                   R"({"user":"a","groups":["system:masters"],"resourceAttributes":{"verb":"get","resource":"pods"}})"),
            R"({"allowed":true})");
  EXPECT_EQ(review("SelfSubjectRulesReview", "{}"), "no namespace on request");
}

TEST_F(IdentityTest, ANodeMayDoWhatItsPodsNeed) {
  make("/api/v1/nodes", R"({"metadata":{"name":"na"}})");
  make("/api/v1/nodes", R"({"metadata":{"name":"nb"}})");
  make("/api/v1/namespaces/default/secrets", R"({"metadata":{"name":"s1"}})");
  make("/api/v1/namespaces/default/secrets", R"({"metadata":{"name":"s2"}})");
  make("/api/v1/namespaces/default/configmaps", R"({"metadata":{"name":"c1"}})");
  make(
      "/api/v1/namespaces/default/pods",
      R"({"metadata":{"name":"mine"},"spec":{"nodeName":"na","containers":[{"name":"c","image":"i","envFrom":[{"configMapRef":{"name":"c1"}}]}],)"
      R"("volumes":[{"name":"v","secret":{"secretName":"s1"}}]}})");
  make(
      "/api/v1/namespaces/default/pods",
      R"({"metadata":{"name":"other"},"spec":{"nodeName":"nb","containers":[{"name":"c","image":"i"}],"volumes":[{"name":"v","secret":{"secretName":"s2"}}]}})");
  const std::string kSecrets = "/api/v1/namespaces/default/secrets", kPods = "/api/v1/namespaces/default/pods";
  EXPECT_EQ(as_node("GET", kSecrets + "/s1"), "200");
  EXPECT_EQ(as_node("GET", "/api/v1/namespaces/default/configmaps/c1"), "200");
  EXPECT_EQ(
      as_node("GET", kSecrets + "/s2"),
      R"(403 secrets "s2" is forbidden: User "system:node:na" cannot get resource "secrets" in API group "" in the namespace "default": no relationship found between node 'na' and this object)");
  EXPECT_EQ(
      as_node("GET", kSecrets),
      R"(403 secrets is forbidden: User "system:node:na" cannot list resource "secrets" in API group "" in the namespace "default": No Object name found)");
  EXPECT_EQ(
      as_node("GET", "/api/v1/pods"),
      R"(403 pods is forbidden: User "system:node:na" cannot list resource "pods" in API group "" at the cluster scope: can only list/watch pods with spec.nodeName field selector)");
  EXPECT_EQ(as_node("GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dna"), "200");
  EXPECT_TRUE(as_node("GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dnb").starts_with("403"));
  EXPECT_EQ(as_node("PATCH", "/api/v1/nodes/na/status", "{}").substr(0, 3), "415") << "allowed, but no patch";
  EXPECT_TRUE(as_node("PATCH", "/api/v1/nodes/nb/status", "{}").starts_with("403"));
  EXPECT_EQ(
      as_node("DELETE", "/api/v1/nodes/na"),
      R"(403 nodes "na" is forbidden: User "system:node:na" cannot delete resource "nodes" in API group "" at the cluster scope)");
  EXPECT_TRUE(as_node("DELETE", kPods + "/other").starts_with("403"));
  EXPECT_EQ(as_node("DELETE", kPods + "/mine"), "200");
  EXPECT_TRUE(as_node("POST", kPods, R"({"metadata":{"name":"x"},"spec":{"containers":[{"name":"c","image":"i"}]}})")
                  .starts_with("403"));
  EXPECT_TRUE(as_node("POST", "/apis/apps/v1/namespaces/default/statefulsets", "{}").starts_with("403"));
  EXPECT_EQ(as_node("POST", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases",
                    R"({"metadata":{"name":"na"}})"),
            "201");
  EXPECT_EQ(as_node("GET", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/na"), "200");
  EXPECT_EQ(
      as_node("GET", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/nb"),
      R"(403 leases.coordination.k8s.io "nb" is forbidden: User "system:node:na" cannot get resource "leases" in API group "coordination.k8s.io" in the namespace "kube-node-lease": can only access node lease with the same name as the requesting node)");
}

// The head alone decides; of the body nothing is waited for.
TEST_F(IdentityTest, WhoMayNotAskIsToldBeforeTheBody) {
  auto answer_to = [this](const std::string& authorization) {
    http::testing::RawSocket socket(server_.address());
    socket.send("POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n" +
                authorization + "Content-Length: 3000000\r\n\r\n{");
    EXPECT_TRUE(server_.drive([&] { return socket.over(); })) << socket.got;
    return socket.got;
  };
  EXPECT_NE(answer_to("").find("HTTP/1.1 403 "), std::string::npos);
  EXPECT_NE(answer_to("Authorization: Bearer nope\r\n").find("HTTP/1.1 401 "), std::string::npos);
  EXPECT_NE(answer_to("Authorization: Bearer joe-token\r\n").find("User \\\"joe\\\" cannot create resource"),
            std::string::npos);
  // The body of an authorized request is waited for.
  http::testing::RawSocket socket(server_.address());
  const std::string body = R"({"metadata":{"name":"slow"}})";
  socket.send(
      "POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
      "Authorization: Bearer admin-token\r\nExpect: 100-continue\r\nContent-Length: " +
      std::to_string(body.size()) + "\r\n\r\n");
  ASSERT_TRUE(server_.drive([&] { return socket.has("HTTP/1.1 100 Continue\r\n\r\n"); })) << socket.got;
  socket.send(body);
  EXPECT_TRUE(server_.drive([&] { return socket.has("HTTP/1.1 201 "); })) << socket.got;
}

// Requests that hang in the store or at a node count; the next one is refused, and served again when they have gone.
TEST_F(IdentityTest, RequestsInFlightAreBounded) {
  make("/api/v1/nodes", R"({"metadata":{"name":"node-1"}})");
  std::vector<std::shared_ptr<http::Exchange>> hanging;
  server_.set_agent([&](std::shared_ptr<http::Exchange> exchange) { hanging.push_back(std::move(exchange)); });
  http::Endpoint endpoint;
  endpoint.address = server_.address();
  auto client = http::make_client(server_.loop(), endpoint);
  int answered = 0;
  for (int i = 0; i < 3; ++i) {
    http::ClientRequest outgoing;
    outgoing.target = "/apis/metrics.k8s.io/v1beta1/nodes";
    outgoing.headers = {{"authorization", "Bearer admin-token"}};
    client->send(std::move(outgoing), [&](Result<http::Response>) { ++answered; });
  }
  ASSERT_TRUE(server_.drive([&] { return hanging.size() == 1; }));  // one question is asked for all three
  Answered refused;
  ASSERT_TRUE(server_.drive([&] {
    refused = server_.ask_from_outside("GET", "/api/v1/nodes", "", {{"authorization", "Bearer admin-token"}});
    return refused.status == 429;
  }));
  EXPECT_EQ(refused.body, "Too many requests, please try again later.\n");
  EXPECT_EQ(refused.header("retry-after"), "1");
  EXPECT_EQ(server_.ask("GET", "/api/v1/nodes").status, 200) << "root is not counted";
  EXPECT_EQ(server_.ask_from_outside("GET", "/api", "", {{"authorization", "Bearer joe-token"}}).status, 200)
      << "another user";
  for (auto& exchange : hanging) exchange->respond(200, "application/json", "{}");
  ASSERT_TRUE(server_.drive([&] { return answered == 3; }));
  EXPECT_EQ(server_.ask_from_outside("GET", "/api/v1/nodes", "", {{"authorization", "Bearer admin-token"}}).status,
            200);
}

}  // namespace
}  // namespace berth::apiserver::rest::testing
