#pragma once
// Answers one DNS question from a zone. Wire format by libldns; pure.

#include <optional>
#include <string>
#include <string_view>

#include "net/dns/zone.h"

namespace berth::net::dns {

// TTL of positive answers in seconds; negative answers have 0, so that a pod is found as soon as it exists.
inline constexpr std::uint32_t kPositiveTtl = 5;

struct DnsReply {
  std::string wire;        // the answer; empty: the zone does not cover the name, forward the question
  bool malformed = false;  // has not even an id to answer with: discard it
};
// The answer is limited to what the transport allows (UDP: 512 bytes or the EDNS size; TCP: 65535).
DnsReply answer(const Zone& zone, std::string_view question, bool tcp);

// SERVFAIL, for a question that could not be forwarded.
std::string server_failure(std::string_view question);
// NXDOMAIN, for a question without a reachable upstream. Not cacheable.
std::string name_error(std::string_view question);

}  // namespace berth::net::dns
