#pragma once
// Inside the schema module: how Go's time.Parse words what it cannot read.

#include <string>
#include <string_view>

namespace berth::api::schema {

// The error of parsing `text` as RFC 3339, or with exactly six digits of a second for `micro`; empty where Go takes it.
std::string go_time_problem(std::string_view text, bool micro);

}  // namespace berth::api::schema
