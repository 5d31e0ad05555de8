#include "net/dns/answer.h"

#include <ldns/ldns.h>

#include <algorithm>
#include <memory>

#include "base/text.h"

namespace berth::net::dns {
namespace {

struct FreePacket {
  void operator()(ldns_pkt* packet) const { ldns_pkt_free(packet); }
};
using Packet = std::unique_ptr<ldns_pkt, FreePacket>;

Packet read_packet(std::string_view wire) {
  ldns_pkt* packet = nullptr;
  if (ldns_wire2pkt(&packet, reinterpret_cast<const std::uint8_t*>(wire.data()), wire.size()) != LDNS_STATUS_OK)
    return nullptr;
  return Packet(packet);
}

ldns_rdf* name_field(const std::string& name) { return ldns_dname_new_frm_str((name + ".").c_str()); }

std::string name_text(const ldns_rdf* name) {
  char* raw = ldns_rdf2str(name);
  std::string text = lower(raw);
  ::free(raw);
  while (!text.empty() && text.back() == '.') text.pop_back();
  return text;
}

ldns_rr* new_record(const ldns_rdf* owner, ldns_rr_type type, std::uint32_t ttl) {
  ldns_rr* rr = ldns_rr_new();
  ldns_rr_set_owner(rr, ldns_rdf_clone(owner));
  ldns_rr_set_type(rr, type);
  ldns_rr_set_class(rr, LDNS_RR_CLASS_IN);
  ldns_rr_set_ttl(rr, ttl);
  return rr;
}

ldns_rr* to_rr(const DnsRecord& record, const ldns_rdf* owner) {
  ldns_rr* rr = new_record(owner, static_cast<ldns_rr_type>(record.type), kPositiveTtl);
  switch (record.type) {
    case RecordType::kA: ldns_rr_push_rdf(rr, ldns_rdf_new_frm_str(LDNS_RDF_TYPE_A, record.data.c_str())); break;
    case RecordType::kAaaa: ldns_rr_push_rdf(rr, ldns_rdf_new_frm_str(LDNS_RDF_TYPE_AAAA, record.data.c_str())); break;
    case RecordType::kCname:
    case RecordType::kPtr: ldns_rr_push_rdf(rr, name_field(record.data)); break;
    case RecordType::kTxt: ldns_rr_push_rdf(rr, ldns_rdf_new_frm_str(LDNS_RDF_TYPE_STR, record.data.c_str())); break;
    case RecordType::kSrv:
      ldns_rr_push_rdf(rr, ldns_native2rdf_int16(LDNS_RDF_TYPE_INT16, 0));
      ldns_rr_push_rdf(rr, ldns_native2rdf_int16(LDNS_RDF_TYPE_INT16, record.weight));
      ldns_rr_push_rdf(rr, ldns_native2rdf_int16(LDNS_RDF_TYPE_INT16, record.port));
      ldns_rr_push_rdf(rr, name_field(record.data));
      break;
  }
  return rr;
}

// The SOA of a negative answer: its last number, the negative TTL, is 0.
ldns_rr* start_of_authority(const std::string& domain) {
  ldns_rdf* owner = name_field(domain);
  ldns_rr* rr = new_record(owner, LDNS_RR_TYPE_SOA, 0);
  ldns_rdf_deep_free(owner);
  ldns_rr_push_rdf(rr, name_field("ns.dns." + domain));
  ldns_rr_push_rdf(rr, name_field("hostmaster." + domain));
  for (std::uint32_t number : {1u, 7200u, 1800u, 86400u, 0u})
    ldns_rr_push_rdf(rr, ldns_native2rdf_int32(LDNS_RDF_TYPE_INT32, number));
  return rr;
}

// Adds the addresses of SRV targets, which saves the client a second question.
void add_target_addresses(const Zone& zone, const std::string& target, ldns_pkt* reply) {
  ldns_rdf* owner = name_field(target);
  for (RecordType type : {RecordType::kA, RecordType::kAaaa}) {
    for (const DnsRecord* address : zone.find(target, type).records) {
      ldns_pkt_push_rr(reply, LDNS_SECTION_ADDITIONAL, to_rr(*address, owner));
    }
  }
  ldns_rdf_deep_free(owner);
}

void fill(const Zone& zone, const std::string& name, RecordType type, const ldns_rdf* owner, ldns_pkt* reply) {
  if (std::string address = zone.pod_address(name); !address.empty()) {
    bool v6 = address.find(':') != std::string::npos;
    if (type == (v6 ? RecordType::kAaaa : RecordType::kA)) {
      ldns_pkt_push_rr(reply, LDNS_SECTION_ANSWER, to_rr(DnsRecord{name, type, address}, owner));
    } else {
      ldns_pkt_push_rr(reply, LDNS_SECTION_AUTHORITY, start_of_authority(zone.domain()));
    }
    return;
  }
  Zone::ZoneAnswer found = zone.find(name, type);
  for (const DnsRecord* record : found.records) {
    ldns_pkt_push_rr(reply, LDNS_SECTION_ANSWER, to_rr(*record, owner));
    if (record->type == RecordType::kSrv) add_target_addresses(zone, record->data, reply);
    if (record->type == RecordType::kCname && type != RecordType::kCname && zone.covers(record->data)) {
      ldns_rdf* target = name_field(record->data);
      for (const DnsRecord* next : zone.find(record->data, type).records)
        ldns_pkt_push_rr(reply, LDNS_SECTION_ANSWER, to_rr(*next, target));
      ldns_rdf_deep_free(target);
    }
  }
  if (found.records.empty()) {
    ldns_pkt_push_rr(reply, LDNS_SECTION_AUTHORITY, start_of_authority(zone.domain()));
    if (!found.exists) ldns_pkt_set_rcode(reply, LDNS_RCODE_NXDOMAIN);
  }
}

std::string to_wire(const ldns_pkt* packet) {
  std::uint8_t* bytes = nullptr;
  std::size_t size = 0;
  if (ldns_pkt2wire(&bytes, packet, &size) != LDNS_STATUS_OK) return "";
  std::string wire(reinterpret_cast<char*>(bytes), size);
  ::free(bytes);
  return wire;
}

Packet begin_reply(const ldns_pkt* question) {
  Packet reply(ldns_pkt_new());
  ldns_pkt_set_id(reply.get(), ldns_pkt_id(question));
  ldns_pkt_set_qr(reply.get(), true);
  ldns_pkt_set_rd(reply.get(), ldns_pkt_rd(question));
  ldns_pkt_set_ra(reply.get(), true);
  ldns_pkt_set_opcode(reply.get(), ldns_pkt_get_opcode(question));
  if (ldns_pkt_edns(question)) ldns_pkt_set_edns_udp_size(reply.get(), 1232);
  return reply;
}

void copy_question(const ldns_pkt* question, ldns_pkt* reply) {
  ldns_rr* asked = ldns_rr_list_rr(ldns_pkt_question(question), 0);
  ldns_pkt_push_rr(reply, LDNS_SECTION_QUESTION, ldns_rr_clone(asked));
}

std::string bare_reply(std::string_view question, ldns_pkt_rcode code) {
  Packet asked = read_packet(question);
  if (!asked) return "";
  Packet reply = begin_reply(asked.get());
  if (ldns_rr_list_rr_count(ldns_pkt_question(asked.get())) == 1) copy_question(asked.get(), reply.get());
  ldns_pkt_set_rcode(reply.get(), static_cast<std::uint8_t>(code));
  return to_wire(reply.get());
}

}  // namespace

DnsReply answer(const Zone& zone, std::string_view question, bool tcp) {
  Packet asked = read_packet(question);
  if (!asked || ldns_pkt_qr(asked.get())) {
    // Too short for an id, or a reply sent to the server.
    if (asked || question.size() < 12) return {"", true};
    std::string wire(question.substr(0, 12));
    wire[2] = static_cast<char>(0x80 | (wire[2] & 0x79));
    wire[3] = static_cast<char>(LDNS_RCODE_FORMERR);
    std::fill(wire.begin() + 4, wire.end(), '\0');
    return {wire, false};
  }
  Packet reply = begin_reply(asked.get());
  bool one_question = ldns_rr_list_rr_count(ldns_pkt_question(asked.get())) == 1;
  if (ldns_pkt_get_opcode(asked.get()) != LDNS_PACKET_QUERY || !one_question) {
    ldns_pkt_set_rcode(reply.get(), one_question ? LDNS_RCODE_NOTIMPL : LDNS_RCODE_FORMERR);
    return {to_wire(reply.get()), false};
  }
  const ldns_rr* query = ldns_rr_list_rr(ldns_pkt_question(asked.get()), 0);
  std::string name = name_text(ldns_rr_owner(query));
  bool plain = name.find('.') == std::string::npos;
  auto asked_type = static_cast<RecordType>(ldns_rr_get_type(query));
  if (!zone.covers(name) && plain && !name.empty() &&
      (asked_type == RecordType::kA || asked_type == RecordType::kAaaa)) {
    // A single-label name that no search path completed does not exist outside either. Clients would retry after a
    // failure, but not after NXDOMAIN.
    copy_question(asked.get(), reply.get());
    ldns_pkt_set_rcode(reply.get(), LDNS_RCODE_NXDOMAIN);
    return {to_wire(reply.get()), false};
  }
  if (!zone.covers(name)) return {"", false};
  copy_question(asked.get(), reply.get());
  ldns_pkt_set_aa(reply.get(), true);
  if (ldns_rr_get_class(query) == LDNS_RR_CLASS_IN) {
    fill(zone, name, asked_type, ldns_rr_owner(query), reply.get());
  }
  std::string wire = to_wire(reply.get());
  std::size_t limit =
      tcp ? 65535 : std::max<std::size_t>(512, ldns_pkt_edns(asked.get()) ? ldns_pkt_edns_udp_size(asked.get()) : 0);
  if (wire.size() > limit) {
    // Truncated: the client repeats the question over TCP.
    Packet shorter = begin_reply(asked.get());
    copy_question(asked.get(), shorter.get());
    ldns_pkt_set_aa(shorter.get(), true);
    ldns_pkt_set_tc(shorter.get(), true);
    wire = to_wire(shorter.get());
  }
  return {wire, false};
}

std::string server_failure(std::string_view question) { return bare_reply(question, LDNS_RCODE_SERVFAIL); }

std::string name_error(std::string_view question) { return bare_reply(question, LDNS_RCODE_NXDOMAIN); }

}  // namespace berth::net::dns
