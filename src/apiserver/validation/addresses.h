#pragma once
// IP addresses and networks as fields may hold them. Pure. Internal to validation/.

#include <string>
#include <string_view>
#include <vector>

#include "apiserver/validation/report.h"

namespace berth::apiserver::validation {

// Complaints about a field that once took what Go's older parser took. With `strict` (1.36's default for new values)
// leading zeros, IPv4-mapped IPv6 and bits behind the prefix are refused too.
std::vector<std::string> is_legacy_ip(std::string_view text, bool strict = true);
std::vector<std::string> is_legacy_cidr(std::string_view text, bool strict = true);
bool is_ipv4(std::string_view text);
bool is_ipv6(std::string_view text);  // IPv4-mapped ones count as IPv4

// Addresses that no endpoint can have: unspecified, loopback, link-local.
void check_special_ip(Report& report, const Path& path, const Value& address);

}  // namespace berth::apiserver::validation
