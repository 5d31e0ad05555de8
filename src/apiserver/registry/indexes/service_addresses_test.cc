// Allocation of addresses and node ports: a refused or failed write leaves it as it was.
#include "apiserver/registry/test_disk_registry.h"

namespace berth::apiserver::registry {
namespace {

using namespace api::resources;  // NOLINT

class ServiceNumbers : public DiskRegistryFixture {
 protected:
  void SetUp() override {
    DiskRegistryFixture::SetUp();
    make("a", kLocal);
    make("b", R"({"clusterIP":"10.96.7.8","type":"ClusterIP","ports":[{"port":80}]})");
    make("name", R"({"type":"ExternalName","externalName":"example.org"})");
  }

  std::string create(const std::string& name, const std::string& spec, bool dry_run = false) {
    Call c = call(kServices);
    c.dry_run = dry_run;
    return outcome(wait([&](Done done) {
      registry_->create(
          c,
          parsed(R"({"apiVersion":"v1","kind":"Service","metadata":{"name":")" + name + R"("},"spec":)" + spec + "}"),
          std::move(done));
    }));
  }
  void make(const std::string& name, const std::string& spec) { EXPECT_EQ(create(name, spec), "ok"); }
  std::string patch(const std::string& name, const std::string& text, bool dry_run = false) {
    Call c = call(kServices, name);
    c.dry_run = dry_run;
    return outcome(
        wait([&](Done done) { registry_->patch(c, api::PatchType::kMerge, parsed(text), false, std::move(done)); }));
  }
  std::string put(const std::string& name, const std::string& spec) {
    return outcome(wait([&](Done done) {
      registry_->update(
          call(kServices, name),
          parsed(R"({"apiVersion":"v1","kind":"Service","metadata":{"name":")" + name + R"("},"spec":)" + spec + "}"),
          std::move(done));
    }));
  }
  std::string remove(const std::string& name) {
    return outcome(wait([&](Done done) { registry_->remove(call(kServices, name), {}, std::move(done)); }));
  }
  static std::string code(const std::string& outcome) { return outcome.substr(0, 3); }

  // Asked in dry runs too, which take nothing.
  bool is_free(const std::string& ip) {
    const std::string answer = create("asks", R"({"clusterIP":")" + ip + R"(","ports":[{"port":80}]})", true);
    EXPECT_TRUE(answer == "ok" || answer.find("provided IP is already allocated") != std::string::npos) << answer;
    return answer == "ok";
  }
  bool is_free(int port) {
    const std::string answer =
        create("asks", R"({"type":"NodePort","ports":[{"port":80,"nodePort":)" + std::to_string(port) + "}]}", true);
    EXPECT_TRUE(answer == "ok" || answer.find("provided port is already allocated") != std::string::npos) << answer;
    return answer == "ok";
  }
  // What "a" and "b" hold is held, and a create that names it is refused.
  void expect_all_held(const std::string& after) {
    for (const char* ip : {"10.96.7.7", "10.96.7.8"}) EXPECT_FALSE(is_free(ip)) << ip << " after " << after;
    for (int port : {30777, 30778}) EXPECT_FALSE(is_free(port)) << port << " after " << after;
    EXPECT_EQ(code(create("c", R"({"clusterIP":"10.96.7.7","ports":[{"port":80}]})")), "422") << after;
    EXPECT_EQ(code(create("c", R"({"type":"NodePort","ports":[{"port":80,"nodePort":30777}]})")), "422") << after;
  }

  static constexpr const char* kLocal =
      R"({"clusterIP":"10.96.7.7","type":"LoadBalancer","externalTrafficPolicy":"Local","healthCheckNodePort":30778,"ports":[{"port":80,"nodePort":30777}]})";
};

TEST_F(ServiceNumbers, RefusedUpdatesAndPatchesFreeNothing) {
  const std::vector<std::string> specs = {
      R"({"clusterIP":"10.96.7.7","clusterIPs":["10.96.7.7"],"type":"ClusterIP","ports":[{"port":80}]})",
      R"({"clusterIP":"10.96.7.8","type":"ClusterIP","ports":[{"port":80,"nodePort":30777}]})",
      R"({"clusterIP":"10.96.7.8","type":"ClusterIP","healthCheckNodePort":30778,"ports":[{"port":80}]})",
      R"({"clusterIP":"10.96.7.8","type":"NodePort","ports":[{"port":80,"nodePort":30779},{"port":81,"nodePort":30777,"name":"x"}]})",
  };
  for (const std::string& spec : specs) {
    EXPECT_EQ(code(put("b", spec)), "422") << spec;
    expect_all_held("put " + spec);
    EXPECT_EQ(code(patch("b", R"({"spec":)" + spec + "}")), "422") << spec;
    expect_all_held("patch " + spec);
    EXPECT_TRUE(is_free(30779)) << "what a refused one took goes back";
  }
  EXPECT_EQ(code(patch("a", R"({"spec":{"healthCheckNodePort":30780}})")), "422");
  expect_all_held("a changed health check port");
  EXPECT_TRUE(is_free(30780));
  EXPECT_EQ(code(patch("name", R"({"spec":{"clusterIP":"10.96.7.7"}})")), "422");
  expect_all_held("an external name with another's address");
}

TEST_F(ServiceNumbers, RefusedCreatesFreeNothing) {
  for (const char* spec : {R"({"type":"ClusterIP","ports":[{"port":80,"nodePort":30777}]})",
                           R"({"type":"ClusterIP","healthCheckNodePort":30778,"ports":[{"port":80}]})",
                           R"({"type":"ExternalName","externalName":"x","clusterIP":"10.96.7.7"})",
                           R"({"clusterIP":"10.96.7.9","ports":[{"port":0}]})"}) {
    EXPECT_EQ(code(create("c", spec)), "422") << spec;
    expect_all_held(std::string("create ") + spec);
  }
  EXPECT_TRUE(is_free("10.96.7.9"));
}

TEST_F(ServiceNumbers, AcceptedUpdatesFreeWhatTheyNoLongerName) {
  EXPECT_EQ(patch("a", R"({"spec":{"ports":[{"port":80,"nodePort":30781}]}})"), "ok");
  EXPECT_TRUE(is_free(30777));
  EXPECT_FALSE(is_free(30781));
  EXPECT_EQ(
      patch(
          "a",
          R"({"spec":{"type":"ClusterIP","ports":[{"port":80}],"externalTrafficPolicy":null,"healthCheckNodePort":null}})"),
      "ok");
  EXPECT_TRUE(is_free(30778));
  EXPECT_TRUE(is_free(30781));
  EXPECT_EQ(
      patch("b",
            R"({"spec":{"type":"ExternalName","externalName":"x","clusterIP":null,"clusterIPs":null,"ports":null}})"),
      "ok");
  EXPECT_TRUE(is_free("10.96.7.8"));
  EXPECT_EQ(patch("name",
                  R"({"spec":{"type":"ClusterIP","externalName":null,"clusterIP":"10.96.7.8","ports":[{"port":80}]}})"),
            "ok");
  EXPECT_FALSE(is_free("10.96.7.8"));
}

TEST_F(ServiceNumbers, FailedCommitsChangeNothing) {
  const std::string move = R"({"spec":{"ports":[{"port":80,"nodePort":30781}]}})";
  fault::arm("store.commit", 1);
  EXPECT_EQ(code(patch("a", move)), "503");
  expect_all_held("a failed update");
  EXPECT_TRUE(is_free(30781));
  fault::arm("store.commit", 1);
  EXPECT_EQ(code(create("c", R"({"type":"NodePort","clusterIP":"10.96.7.9","ports":[{"port":80,"nodePort":30781}]})")),
            "503");
  EXPECT_TRUE(is_free("10.96.7.9"));
  EXPECT_TRUE(is_free(30781));
  fault::arm("store.commit", 1);
  EXPECT_EQ(code(remove("a")), "503");
  expect_all_held("a failed delete");
}

TEST_F(ServiceNumbers, WhatIsBeingDeletedIsHeldUntilItIsGone) {
  std::string removed;
  fault::arm("store.commit", 1);
  registry_->remove(call(kServices, "a"), {}, [&](const Result<Answer>& answer) { removed = outcome(answer); });
  EXPECT_EQ(code(create("c", R"({"clusterIP":"10.96.7.7","ports":[{"port":80}]})")), "422");
  while (removed.empty()) loop_.run_once(1s);
  EXPECT_EQ(code(removed), "503");
  expect_all_held("a failed delete");
  EXPECT_EQ(remove("a"), "ok");
  EXPECT_TRUE(is_free("10.96.7.7"));
  EXPECT_TRUE(is_free(30777));
  EXPECT_TRUE(is_free(30778));
}

TEST_F(ServiceNumbers, DryRunsChangeNothing) {
  EXPECT_EQ(patch("a", R"({"spec":{"ports":[{"port":80,"nodePort":30781}]}})", true), "ok");
  EXPECT_EQ(
      patch("b",
            R"({"spec":{"type":"ExternalName","externalName":"x","clusterIP":null,"clusterIPs":null,"ports":null}})",
            true),
      "ok");
  expect_all_held("dry runs");
  EXPECT_TRUE(is_free(30781));
  EXPECT_EQ(
      create(
          "c",
          R"({"type":"LoadBalancer","externalTrafficPolicy":"Local","clusterIP":"10.96.7.9","ports":[{"port":80,"nodePort":30781}]})",
          true),
      "ok");
  EXPECT_TRUE(is_free("10.96.7.9"));
  EXPECT_TRUE(is_free(30781));
}

// Dry runs count up from the highest number that the Service names, or from one that no range has; the health check's
// port for itself.
TEST_F(ServiceNumbers, DryRunsProposeNumbers) {
  Call c = call(kServices);
  c.dry_run = true;
  const Value service = parsed(
      R"({"apiVersion":"v1","kind":"Service","metadata":{"name":"c"},"spec":{"type":"LoadBalancer","externalTrafficPolicy":"Local",
      "ports":[{"port":80,"name":"x","nodePort":30001},{"port":81,"name":"y"},{"port":81,"name":"z","protocol":"UDP"}]}})");
  const Result<Answer> answer = wait([&](Done done) { registry_->create(c, service, std::move(done)); });
  ASSERT_EQ(outcome(answer), "ok");
  const Value spec = answer->value()["spec"];
  for (std::size_t i : {1u, 2u}) EXPECT_EQ(spec["ports"][i]["nodePort"].as_int(), 30002);
  EXPECT_EQ(spec["healthCheckNodePort"].as_int(), 32769);
}

TEST_F(ServiceNumbers, AnUpdateThatEndsAServiceFreesAllOfIt) {
  EXPECT_EQ(patch("a", R"({"metadata":{"finalizers":["x.org/y"]}})"), "ok");
  EXPECT_EQ(remove("a"), "ok");
  expect_all_held("a deletion that waits");
  EXPECT_EQ(patch("a", R"({"metadata":{"finalizers":null},"spec":{"ports":[{"port":80,"nodePort":30781}]}})"), "ok");
  for (int port : {30777, 30778, 30781}) EXPECT_TRUE(is_free(port)) << port;
  EXPECT_TRUE(is_free("10.96.7.7"));
}

TEST_F(ServiceNumbers, APortThatTwoNameIsHeldUntilBothAreGone) {
  make("unallocated",
       R"({"type":"LoadBalancer","allocateLoadBalancerNodePorts":false,"ports":[{"port":80,"nodePort":30777}]})");
  EXPECT_EQ(remove("unallocated"), "ok");
  expect_all_held("a deletion of another that named the port");
  EXPECT_EQ(remove("a"), "ok");
  EXPECT_TRUE(is_free(30777));
}

}  // namespace
}  // namespace berth::apiserver::registry
