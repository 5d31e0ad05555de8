#pragma once
// Zone: the records of the cluster's DNS. Names are lower case, absolute, without the final dot. One thread.
//
// Each record has an owner (a Service, for example). All records of an owner are replaced at once, so that a change is
// atomic. A name exists if it or a name below it has a record (RFC 8020); this decides between NXDOMAIN and an empty
// answer.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace berth::net::dns {

enum class RecordType : std::uint16_t { kA = 1, kCname = 5, kPtr = 12, kTxt = 16, kAaaa = 28, kSrv = 33 };

struct DnsRecord {
  std::string name;
  RecordType type = RecordType::kA;
  std::string data;          // address text, target name, or text
  std::uint16_t port = 0;    // kSrv
  std::uint16_t weight = 0;  // kSrv
  auto operator<=>(const DnsRecord&) const = default;
};

class Zone {
 public:
  explicit Zone(std::string domain);  // "cluster.local"

  const std::string& domain() const { return domain_; }
  // True if the zone is authoritative for a name: names in the domain, and reverse names of known addresses.
  bool covers(std::string_view name) const;

  // Replaces all records of `owner` ("svc/default/mysql"); empty: removes them. Returns whether anything changed.
  bool replace(const std::string& owner, std::vector<DnsRecord> records);

  struct ZoneAnswer {
    bool exists = false;
    std::vector<const DnsRecord*> records;  // of the type in the question (or CNAME); valid until the next replace()
  };
  ZoneAnswer find(std::string_view name, RecordType type) const;
  // The address in <dashed address>.<namespace>.pod.<domain>; empty for other names.
  std::string pod_address(std::string_view name) const;

  std::size_t size() const { return names_.size(); }

 private:
  struct ZoneNode {
    std::vector<const DnsRecord*> records;
    int references = 0;  // records of this name and of names below it
  };
  void link(const DnsRecord& record);
  void unlink(const DnsRecord& record);

  std::string domain_;
  std::map<std::string, std::vector<DnsRecord>> owners_;
  std::unordered_map<std::string, ZoneNode> names_;
};

// "7.0.244.10.in-addr.arpa" for 10.244.0.7, the ip6.arpa form for IPv6; empty for other texts.
std::string reverse_name(std::string_view ip);

}  // namespace berth::net::dns
