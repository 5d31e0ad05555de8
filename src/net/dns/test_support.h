#pragma once
// DNS questions as resolvers send them, for the tests of this folder.

#include <ldns/ldns.h>

#include <cstdint>
#include <cstdlib>
#include <string>

namespace berth::net::dns {

inline constexpr std::uint16_t kAskersId = 4711;

inline std::string question(const std::string& name, ldns_rr_type type = LDNS_RR_TYPE_A, bool edns = false) {
  ldns_pkt* packet = ldns_pkt_query_new(ldns_dname_new_frm_str(name.c_str()), type, LDNS_RR_CLASS_IN, LDNS_RD);
  ldns_pkt_set_id(packet, kAskersId);
  if (edns) ldns_pkt_set_edns_udp_size(packet, 4096);
  std::uint8_t* bytes = nullptr;
  std::size_t size = 0;
  ldns_pkt2wire(&bytes, packet, &size);
  std::string wire(reinterpret_cast<char*>(bytes), size);
  ::free(bytes);
  ldns_pkt_free(packet);
  return wire;
}

}  // namespace berth::net::dns
