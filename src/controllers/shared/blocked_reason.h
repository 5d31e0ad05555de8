#pragma once
// Why a pod does not become ready, read from its status. Pure.

#include <string>

#include "base/json/json.h"

namespace berth::controllers {

// A cause that does not end by itself; empty if there is none.
struct BlockedReason {
  std::string reason;  // "Unschedulable", "ImagePullBackOff", ...
  std::string text;    // part of a sentence; unchanged while only time passes
  std::string since;   // RFC 3339, or empty
  std::string hint;    // a command or change that would help
  explicit operator bool() const { return !reason.empty(); }
};
BlockedReason blocked_reason_of(const Value& pod);

}  // namespace berth::controllers
