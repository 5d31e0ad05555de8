#pragma once
// The zlib dictionary of SPDY/3.1's header blocks (SPDY protocol, draft 3.1, section 2.6.10.1).

#include <string>

namespace berth::http {
const std::string& spdy_dictionary();
}  // namespace berth::http
