#pragma once
// A registry over a store in memory, driven to each answer. For tests.

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>

#include "api/status.h"
#include "apiserver/registry/registry.h"
#include "base/loop.h"

namespace berth::apiserver::registry {

inline Value parsed(std::string_view text) { return json::parse(text).value(); }

class RegistryFixture : public ::testing::Test {
 protected:
  virtual std::unique_ptr<store::Store> open_store() { return store::open_memory_store(loop_); }
  void SetUp() override {
    store_ = open_store();
    registry_ = std::make_unique<Registry>(loop_, *store_, api::schema::builtin());
    bool ready = false;
    registry_->bootstrap([&] { ready = true; });
    while (!ready) loop_.run_once(1s);
  }

  // As system:masters. `ns` is ignored for cluster-scoped kinds.
  static Call call(const api::Resource& resource, std::string name = "", std::string subresource = "",
                   std::string ns = "default") {
    Call c;
    c.user = {"test", {"system:masters"}};
    c.kind = api::schema::builtin().find(resource);
    c.ns = c.kind->namespaced ? ns : "";
    c.name = std::move(name);
    c.subresource = std::move(subresource);
    c.field_manager = "test";
    return c;
  }
  // Runs the loop until the call that `start` makes is answered.
  template <class Start>
  Result<Answer> wait(Start start) {
    std::optional<Result<Answer>> answer;
    start([&](Result<Answer> a) { answer.emplace(std::move(a)); });
    while (!answer) loop_.run_once(1s);
    return std::move(*answer);
  }
  // "ok", or the code and the message.
  static std::string outcome(const Result<Answer>& answer) {
    return answer.ok() ? "ok" : std::to_string(api::http_code(answer.error().code)) + " " + answer.error().message;
  }

  Loop loop_{1};
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<Registry> registry_;
};

// For tests of what succeeds: each call must, and gives the object.
class RegistryValues : public RegistryFixture {
 protected:
  static Value value(Result<Answer> answer) {
    EXPECT_TRUE(answer.ok()) << answer.error().message;
    return answer.ok() ? answer->value() : Value();
  }
  Value create(const api::Resource& resource, std::string_view text) {
    return value(wait([&](Done done) { registry_->create(call(resource), parsed(text), std::move(done)); }));
  }
  Value patch(const Call& c, std::string_view text) {
    return value(
        wait([&](Done done) { registry_->patch(c, api::PatchType::kMerge, parsed(text), false, std::move(done)); }));
  }
  Value get(const Call& c) {
    return value(wait([&](Done done) { registry_->get(c, std::move(done)); }));
  }
};

}  // namespace berth::apiserver::registry
