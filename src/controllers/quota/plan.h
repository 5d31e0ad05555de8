#pragma once
// A ResourceQuota's status, counted anew from what is in its namespace. Pure.
//
// Admission adds to status.used in the turn in which it admits an object, behind the object itself. So whoever sees a
// quota's version sees every object charged to it, and a status written against exactly that version takes back no
// charge.

#include <vector>

#include "controllers/driver.h"

namespace berth::controllers::quota {

struct View {
  Value quota;  // null: there is none
  struct Contents {
    api::Resource resource;
    std::vector<Value> items;
  };
  std::vector<Contents> contents;  // of each kind that the quota bounds
};

Plan plan_quota(const View& view, Time now);

}  // namespace berth::controllers::quota
