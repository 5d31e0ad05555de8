#pragma once
// Why a pod does not become ready, read off its status. Pure.

#include <string>

#include "base/json/json.h"

namespace berth::controllers {

// A reason that will not go away by itself; empty where there is none.
struct BlockedReason {
  std::string reason;  // "Unschedulable", "ImagePullBackOff", ...
  std::string text;    // a sentence part; the same as long as nothing but time passes
  std::string since;   // RFC 3339, or empty
  std::string hint;    // what would help
  explicit operator bool() const { return !reason.empty(); }
};
BlockedReason blocked_reason_of(const Value& pod);

}  // namespace berth::controllers
