#pragma once
// A registry over a store on disk, whose commits can be made to fail (base/fault.h). For tests.

#include "apiserver/registry/test_registry.h"
#include "base/fault.h"
#include "store/test_support.h"

namespace berth::apiserver::registry {

class DiskRegistryFixture : public RegistryFixture {
 protected:
  std::unique_ptr<store::Store> open_store() override {
    return store::open_sqlite_store(loop_, folder_ / "store.db", {}).value();
  }
  void TearDown() override {
    fault::disarm_all();
    registry_.reset();
    store_.reset();
  }

  berth::testing::TestDirectory folder_;
};

}  // namespace berth::apiserver::registry
