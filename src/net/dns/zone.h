#pragma once
// Zone: what the cluster's own DNS knows. Names are lower case, absolute, without the last dot. One thread.
//
// Records are owned: everything a Service (or another thing) contributes is replaced at once, so a change is never seen
// by halves. A name exists when it or anything below it has a record (RFC 8020), which decides between NXDOMAIN and an
// empty answer.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace berth::net::dns {

enum class RecordType : std::uint16_t { kA = 1, kCname = 5, kPtr = 12, kTxt = 16, kAaaa = 28, kSrv = 33 };

struct Record {
  std::string name;
  RecordType type = RecordType::kA;
  std::string data;          // address text, target name, or text
  std::uint16_t port = 0;    // kSrv
  std::uint16_t weight = 0;  // kSrv
  auto operator<=>(const Record&) const = default;
};

class Zone {
 public:
  explicit Zone(std::string domain);  // "cluster.local"

  const std::string& domain() const { return domain_; }
  // Whether we are the authority for a name: the domain, and addresses we know when asked backwards.
  bool covers(std::string_view name) const;

  // Replaces all records of `owner` ("svc/default/mysql"). Empty: forgets it. Returns whether anything changed.
  bool replace(const std::string& owner, std::vector<Record> records);

  struct Found {
    bool exists = false;
    std::vector<const Record*> records;  // of the asked type (or the CNAME), valid until the next replace
  };
  Found find(std::string_view name, RecordType type) const;
  // <dashed address>.<namespace>.pod.<domain>: answered from the name alone; empty where it is no such name.
  std::string pod_address(std::string_view name) const;

  std::size_t size() const { return names_.size(); }

 private:
  struct Node {
    std::vector<const Record*> records;
    int references = 0;  // records here and below
  };
  void link(const Record& record);
  void unlink(const Record& record);

  std::string domain_;
  std::map<std::string, std::vector<Record>> owners_;
  std::unordered_map<std::string, Node> names_;
};

// "7.0.244.10.in-addr.arpa" for 10.244.0.7, the ip6.arpa form for IPv6; empty where it is no address.
std::string reverse_name(std::string_view ip);

}  // namespace berth::net::dns
