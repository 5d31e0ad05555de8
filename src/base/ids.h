#pragma once
// Random names and identities. Loop thread of the given Runtime.

#include <string>

#include "base/runtime.h"

namespace berth {

// A random (version 4) UUID in lower case, as metadata.uid has.
std::string new_uid(Runtime& runtime);
// `n` characters that make no words, as a generated name ends in (there n is 5).
std::string random_suffix(Runtime& runtime, int n);

}  // namespace berth
