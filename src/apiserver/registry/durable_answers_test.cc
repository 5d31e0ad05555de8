// Answers that rest on a write which is still on its way to the disk.
#include "apiserver/registry/test_disk_registry.h"

namespace berth::apiserver::registry {
namespace {

using namespace api::resources;  // NOLINT

class DurableAnswers : public DiskRegistryFixture {
 protected:
  static Value map(std::string_view name) {
    return parsed(R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":")" + std::string(name) + R"("}})");
  }
  Call map_call() const { return call(kConfigMaps, "m"); }
  // What is answered to a call that comes while `before` is on its way.
  template <class Before, class Start>
  std::string after(Before before, Start start) {
    std::string first;
    before([&](const Result<Answer>& answer) { first = outcome(answer); });
    const std::string second = outcome(wait(start));
    while (first.empty()) loop_.run_once(1s);
    return first.substr(0, 3) + ", " + second;
  }
  std::string patched_after_a_delete() {
    return after([&](Done done) { registry_->remove(map_call(), {}, std::move(done)); },
                 [&](Done done) {
                   registry_->patch(map_call(), api::PatchType::kMerge, parsed(R"({"data":{"a":"b"}})"), false,
                                    std::move(done));
                 });
  }
  std::string created_after_a_create() {
    return after([&](Done done) { registry_->create(call(kConfigMaps), map("m"), std::move(done)); },
                 [&](Done done) { registry_->create(call(kConfigMaps), map("m"), std::move(done)); });
  }
};

TEST_F(DurableAnswers, WhatIsBeingDeletedIsNotFoundOnceItIsGone) {
  ASSERT_EQ(outcome(wait([&](Done done) { registry_->create(call(kConfigMaps), map("m"), std::move(done)); })), "ok");
  fault::arm("store.commit", 1);
  EXPECT_EQ(patched_after_a_delete(), "503, 503 the version this answer was based on could not be stored; try again");
  EXPECT_EQ(outcome(wait([&](Done done) { registry_->get(map_call(), std::move(done)); })), "ok")
      << "it is still there";
  EXPECT_EQ(patched_after_a_delete(), "ok, 404 configmaps \"m\" not found");
}

TEST_F(DurableAnswers, WhatIsBeingMadeExistsOnceItDoes) {
  fault::arm("store.commit", 1);
  EXPECT_EQ(created_after_a_create(), "503, 503 the version this answer was based on could not be stored; try again");
  EXPECT_EQ(created_after_a_create(), "ok, 409 configmaps \"m\" already exists");
}

}  // namespace
}  // namespace berth::apiserver::registry
