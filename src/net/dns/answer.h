#pragma once
// One DNS question, answered from a zone. Wire format by libldns; pure.

#include <optional>
#include <string>
#include <string_view>

#include "net/dns/zone.h"

namespace berth::net::dns {

// Seconds a positive answer may be kept; a negative one is never kept (0), so that a pod is found the moment it exists.
inline constexpr std::uint32_t kPositiveTtl = 5;

struct Answered {
  std::string wire;        // the answer; empty: the question is not ours, forward it
  bool malformed = false;  // not even an id to answer with: drop it
};
// `limit`: the largest answer the transport takes (UDP: 512 or what EDNS says, decided here; TCP: 65535).
Answered answer(const Zone& zone, std::string_view question, bool tcp);

// SERVFAIL for a question that could not be forwarded.
std::string server_failure(std::string_view question);
// NXDOMAIN for one that nobody can be asked about. Not to be kept.
std::string name_error(std::string_view question);

}  // namespace berth::net::dns
