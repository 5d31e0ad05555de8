#include "apiserver/rest/kind_handlers.h"

#include <gtest/gtest.h>

namespace berth::apiserver::rest {
namespace {

TEST(KindHandlersTest, WhatCannotBeReadBackIsNotStored) {
  for (const api::schema::Kind* kind : api::schema::builtin().kinds()) {
    if (kind->kind == "Binding") continue;  // the registry's: it writes the pod
    const bool readable = kind->has_verb("get") && kind->has_verb("create");
    EXPECT_EQ(handler_of(*kind) == nullptr, readable) << kind->kind;
  }
}

}  // namespace
}  // namespace berth::apiserver::rest
