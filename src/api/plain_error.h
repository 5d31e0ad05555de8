#pragma once
// Refusals for which Kubernetes has no type of its own: its API server answers them with code 500 and a Status that has
// neither `reason` nor `details`. Any thread.

#include <string>

#include "base/result.h"

namespace berth::api {

// A Code::kInternal whose Status has only a message and a code.
Error plain_error(std::string message);
bool is_plain_error(const Error& error);
// A Code::kInternal as upstream words a failure that it did not expect: with the text as its cause.
Error internal_error(const std::string& text);

}  // namespace berth::api
