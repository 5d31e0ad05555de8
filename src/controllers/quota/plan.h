#pragma once
// A ResourceQuota's status, recomputed from the objects in its namespace. Pure.
//
// Admission adds to status.used in the same loop task that admits an object, after writing the object. A reader that
// sees a version of the quota therefore sees every object charged to it, and a status written with that version as its
// precondition removes no charge.

#include <vector>

#include "controllers/driver.h"

namespace berth::controllers::quota {

struct QuotaView {
  Value quota;  // null: the quota does not exist
  struct Collection {
    api::Resource resource;
    std::vector<Value> items;
  };
  std::vector<Collection> contents;  // one per kind that the quota limits
};

Plan plan_quota(const QuotaView& view, Time now);

}  // namespace berth::controllers::quota
