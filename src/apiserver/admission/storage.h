#pragma once
// Claims and volumes: default storage class, protection from deletion, growth.

#include "apiserver/admission/request.h"

namespace berth::apiserver::admission {

Status admit_claim(const Request& request, Value& claim);
Status admit_volume(const Request& request, Value& volume);
// Refuses a claim that grows where its class does not allow expansion.
Status check_claim_growth(const Change& change);

}  // namespace berth::apiserver::admission
