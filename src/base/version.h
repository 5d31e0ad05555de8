#pragma once
// The version of this program.

namespace berth {
inline constexpr const char* kVersion = "0.1.0";
}  // namespace berth
