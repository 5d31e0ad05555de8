// What changes an object's place: selections it leaves, addresses it keeps, events that end.
#include <gtest/gtest.h>

#include "api/status.h"
#include "apiserver/registry/registry.h"
#include "base/json/memory.h"
#include "base/loop.h"

namespace berth::apiserver::registry {
namespace {

using namespace api::resources;

struct Seen {
  std::string type;
  store::RecordPtr record;
};

class Sink final : public ObjectWatchSink {
 public:
  bool on_event(std::string_view type, const store::RecordPtr& record) override {
    seen.push_back({std::string(type), record});
    return true;
  }
  void on_bookmark(store::Revision, bool) override {}
  void on_end(const Error&) override {}
  std::vector<Seen> seen;
};

class RegistryChanges : public ::testing::Test {
 protected:
  void SetUp() override { start({}); }

  void start(RegistryConfig config) {
    registry_.reset();
    store_ = store::open_memory_store(loop_);
    registry_ = std::make_unique<Registry>(loop_, *store_, api::schema::builtin(), std::move(config));
    bool ready = false;
    registry_->bootstrap([&] { ready = true; });
    while (!ready) loop_.run_once(1s);
  }
  Call call(const api::Resource& resource, std::string name = "") {
    Call c;
    c.user = {"test", {"system:masters"}};
    c.kind = api::schema::builtin().find(resource);
    c.ns = c.kind->namespaced ? "default" : "";
    c.name = std::move(name);
    c.field_manager = "test";
    return c;
  }
  template <class Start>
  Value wait(Start start) {
    std::optional<Result<Answer>> answer;
    start([&](Result<Answer> a) { answer.emplace(std::move(a)); });
    while (!answer) loop_.run_once(1s);
    EXPECT_TRUE(answer->ok()) << answer->error().message;
    return answer->ok() ? (*answer)->value() : Value();
  }
  Value create(const api::Resource& resource, std::string_view text) {
    return wait([&](Done done) { registry_->create(call(resource), json::parse(text).value(), std::move(done)); });
  }
  Value update(const api::Resource& resource, std::string name, Value object) {
    return wait([&](Done done) { registry_->update(call(resource, name), std::move(object), std::move(done)); });
  }
  std::size_t count(const api::Resource& resource, std::string fields) {
    ListCall which;
    which.field_selector = std::move(fields);
    Result<ListAnswer> list = registry_->list(call(resource), which);
    EXPECT_TRUE(list.ok());
    return list.ok() ? list->records.size() : 0;
  }

  Loop loop_{1};
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<Registry> registry_;
};

TEST_F(RegistryChanges, WhatLeavesASelectionIsShownAsItWasInside) {
  Value made = create(kConfigMaps, R"({"metadata":{"name":"c","labels":{"a":"1"}},"data":{"k":"inside"}})");
  Sink sink;
  WatchCall options;
  options.label_selector = "a=1";
  options.resource_version = api::resource_version_of(made);
  auto watch = registry_->watch(call(kConfigMaps), options, &sink);
  ASSERT_TRUE(watch.ok());
  Value out = update(kConfigMaps, "c", json::parse(R"({"metadata":{"name":"c"},"data":{"k":"outside"}})").value());
  while (sink.seen.empty()) loop_.run_once(1s);
  EXPECT_EQ(sink.seen[0].type, "DELETED");
  EXPECT_EQ(sink.seen[0].record->value["data"]["k"].as_string(), "inside");
  EXPECT_EQ(api::resource_version_of(sink.seen[0].record->value), api::resource_version_of(out));
  EXPECT_EQ(std::to_string(sink.seen[0].record->mod_revision), api::resource_version_of(out));
}

// What the store's history keeps of a version beside its text.
TEST_F(RegistryChanges, APatchSharesWhatItDoesNotChange) {
  Value before = create(
      kPods, R"({"metadata":{"name":"p","labels":{"a":"1","b":"2"},"annotations":{"note":"a text that stays as it is"}},
    "spec":{"containers":[{"name":"c","image":"i","env":[{"name":"A","value":"1"},{"name":"B","value":"2"}],"ports":[{"containerPort":80}],
    "readinessProbe":{"httpGet":{"path":"/","port":80}},"resources":{"requests":{"cpu":"1","memory":"1Gi"}}}],
    "tolerations":[{"key":"k","operator":"Exists"}]}})");
  Call status = call(kPods, "p");
  status.subresource = "status";
  auto patched = [&](std::string_view text) {
    return wait([&](Done done) {
      registry_->patch(status, api::PatchType::kStrategic, json::parse(text).value(), false, std::move(done));
    });
  };
  before = patched(
      R"({"status":{"phase":"Running","podIP":"10.0.0.1","conditions":[{"type":"Ready","status":"False"},{"type":"Initialized","status":"True"}]}})");
  const Value after = patched(R"({"status":{"conditions":[{"type":"Ready","status":"True"}]}})");
  EXPECT_TRUE(after["spec"].same_node(before["spec"]));
  EXPECT_LT(json::memory_beyond(after, before), json::memory_beyond(after, Value()) / 3);
}

TEST_F(RegistryChanges, AServiceKeepsItsNodePortsWhereTheClientNamesNone) {
  constexpr const char* kText =
      R"({"metadata":{"name":"s"},"spec":{"type":"NodePort","ports":[{"name":"a","port":80},{"name":"b","port":81}]}})";
  Value made = create(kServices, kText);
  Value again = update(kServices, "s", json::parse(kText).value());
  EXPECT_EQ(again["spec"]["ports"], made["spec"]["ports"]);
  // A number that moves to the other port is not given twice.
  Value moved = json::parse(kText).value();
  moved.mut("spec").mut("ports").mut(1).set("nodePort", made["spec"]["ports"][0]["nodePort"]);
  Value after = update(kServices, "s", moved);
  EXPECT_EQ(after["spec"]["ports"][1]["nodePort"], made["spec"]["ports"][0]["nodePort"]);
  EXPECT_NE(after["spec"]["ports"][0]["nodePort"], after["spec"]["ports"][1]["nodePort"]);
}

TEST_F(RegistryChanges, FieldLabelsThatAreNoPaths) {
  create(kNodes, R"({"metadata":{"name":"open"}})");
  create(kNodes, R"({"metadata":{"name":"closed"},"spec":{"unschedulable":true}})");
  EXPECT_EQ(count(kNodes, "spec.unschedulable=false"), 1u);
  EXPECT_EQ(count(kNodes, "spec.unschedulable=true"), 1u);
  EXPECT_EQ(count(kNodes, "spec.unschedulable!=false,metadata.name=closed"), 1u);
  create(
      kEvents,
      R"({"metadata":{"name":"e","namespace":"default"},"involvedObject":{"kind":"Pod","namespace":"default","name":"p"},"reason":"Started","source":{"component":"kubelet"},"type":"Normal"})");
  EXPECT_EQ(count(kEvents, "source=kubelet"), 1u);
  EXPECT_EQ(count(kEvents, "source=other"), 0u);
}

TEST_F(RegistryChanges, AClientOwnsNeitherWhatAdmissionAddsNorTheStatus) {
  Value pod = create(kPods, R"({"metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i"}]}})");
  ASSERT_EQ(pod["metadata"]["managedFields"].size(), 1u);
  const Value& fields = pod["metadata"]["managedFields"][0]["fieldsV1"];
  EXPECT_TRUE(fields["f:spec"].contains("f:containers"));
  EXPECT_TRUE(fields["f:spec"].contains("f:dnsPolicy"));
  EXPECT_FALSE(fields["f:spec"].contains("f:tolerations"));
  EXPECT_FALSE(fields["f:spec"].contains("f:serviceAccountName"));
  EXPECT_FALSE(fields.contains("f:status"));
  EXPECT_EQ(pod["status"]["phase"].as_string(), "Pending");
  Value claim = create(
      kPersistentVolumeClaims,
      R"({"metadata":{"name":"v"},"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}})");
  EXPECT_EQ(claim["spec"]["storageClassName"].as_string(), "standard");
  EXPECT_FALSE(claim["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"].contains("f:storageClassName"));
}

TEST_F(RegistryChanges, ANoOpIsAnsweredWhenTheVersionItRepeatsIsDurable) {
  Value made = create(kConfigMaps, R"({"metadata":{"name":"c"},"data":{"k":"1"}})");
  Value changed = made;
  changed.mut("data").set("k", "2");
  changed.mut("metadata").erase("resourceVersion");
  std::vector<std::string> order;
  int left = 2;
  registry_->update(call(kConfigMaps, "c"), changed, [&](Result<Answer> answer) {
    order.push_back(answer.ok() ? "write" : answer.error().message);
    --left;
  });
  registry_->update(call(kConfigMaps, "c"), changed, [&](Result<Answer> answer) {
    order.push_back(answer.ok() ? "no-op" : answer.error().message);
    EXPECT_TRUE(answer.ok() && answer->record == store_->get(answer->record->key));
    --left;
  });
  while (left > 0) loop_.run_once(1s);
  EXPECT_EQ(order, (std::vector<std::string>{"write", "no-op"}));
}

TEST_F(RegistryChanges, TheKubernetesServiceComesBackUnderItsAddress) {
  auto read = [&] {
    std::optional<Result<Answer>> answer;
    registry_->get(call(kServices, "kubernetes"), [&](Result<Answer> a) { answer.emplace(std::move(a)); });
    while (!answer) loop_.run_once(1s);
    return answer->ok() ? (*answer)->value() : Value();
  };
  const Value before = read();
  wait([&](Done done) { registry_->remove(call(kServices, "kubernetes"), {}, std::move(done)); });
  Value after;
  for (int turn = 0; turn < 100 && after.is_null(); ++turn) {
    loop_.run_once(10ms);
    after = read();
  }
  EXPECT_NE(api::uid_of(after), api::uid_of(before));
  EXPECT_EQ(after["spec"], before["spec"]);
  EXPECT_FALSE(after["spec"]["clusterIP"].as_string().empty());
}

}  // namespace
}  // namespace berth::apiserver::registry
