#pragma once
// A patch that names metadata.uid states a condition: that the object is still the one it was made for. The API server
// refuses another uid as a change of an immutable field; to a Client that is a conflict like that of any other
// condition. Any thread.

#include "base/result.h"

namespace berth::api {

// kConflict for a refusal (kInvalid) whose only trouble is metadata.uid; any other error as it is.
Error as_failed_condition(Error error);

}  // namespace berth::api
