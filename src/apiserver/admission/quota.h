#pragma once
// ResourceQuotas: whether an object still fits, and what its namespace's quotas show once it is stored.

#include "apiserver/admission/request.h"

namespace berth::apiserver::admission {

// A quota's new status. To be written in the same turn as, and after, the object it is charged for: readers of a charge
// see the object too, and nothing comes in between.
struct QuotaCharge {
  store::RecordPtr head;
  Value after;
};
// Empty: no quota is concerned. kForbidden: the object does not fit.
Result<std::vector<QuotaCharge>> check_quota(const Change& change);

}  // namespace berth::apiserver::admission
