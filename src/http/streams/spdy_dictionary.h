#pragma once
#include <string>

namespace berth::http {
const std::string& spdy_dictionary();
}  // namespace berth::http
