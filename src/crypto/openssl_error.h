#pragma once
// OpenSSL's error queue as text, for messages.

#include <string>

namespace berth::crypto {

// The oldest of the calling thread's queued OpenSSL errors as text; empties the queue.
std::string openssl_error_text();

}  // namespace berth::crypto
