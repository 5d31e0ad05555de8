#include "net/dns/zone.h"

#include <arpa/inet.h>

#include <algorithm>

#include "base/text.h"

namespace berth::net::dns {

Zone::Zone(std::string domain) : domain_(std::move(domain)) {}

bool Zone::covers(std::string_view name) const {
  if (name == domain_ || name.ends_with("." + domain_)) return true;
  return (name.ends_with(".in-addr.arpa") || name.ends_with(".ip6.arpa")) && names_.contains(std::string(name));
}

void Zone::link(const DnsRecord& record) {
  names_[record.name].records.push_back(&record);
  for (std::string name = record.name;;) {
    ++names_[name].references;
    std::size_t dot = name.find('.');
    if (dot == std::string::npos || name == domain_) break;
    name.erase(0, dot + 1);
  }
}

void Zone::unlink(const DnsRecord& record) {
  std::erase(names_[record.name].records, &record);
  for (std::string name = record.name;;) {
    auto node = names_.find(name);
    if (node != names_.end() && --node->second.references == 0) names_.erase(node);
    std::size_t dot = name.find('.');
    if (dot == std::string::npos || name == domain_) break;
    name.erase(0, dot + 1);
  }
}

bool Zone::replace(const std::string& owner, std::vector<DnsRecord> records) {
  std::sort(records.begin(), records.end());
  records.erase(std::unique(records.begin(), records.end()), records.end());
  auto old = owners_.find(owner);
  if (old == owners_.end() ? records.empty() : old->second == records) return false;
  if (old != owners_.end()) {
    for (const DnsRecord& record : old->second) unlink(record);
    owners_.erase(old);
  }
  if (records.empty()) return true;
  std::vector<DnsRecord>& stored = owners_[owner] = std::move(records);
  for (const DnsRecord& record : stored) link(record);
  return true;
}

Zone::ZoneAnswer Zone::find(std::string_view name, RecordType type) const {
  ZoneAnswer answer;
  auto node = names_.find(std::string(name));
  answer.exists = node != names_.end() || name == domain_;
  if (node == names_.end()) return answer;
  for (const DnsRecord* record : node->second.records) {
    if (record->type == type || record->type == RecordType::kCname) answer.records.push_back(record);
  }
  return answer;
}

std::string Zone::pod_address(std::string_view name) const {
  std::string suffix = ".pod." + domain_;
  if (!name.ends_with(suffix)) return "";
  std::vector<std::string_view> labels = split(name.substr(0, name.size() - suffix.size()), '.');
  if (labels.size() != 2) return "";
  std::string dotted = replace_all(std::string(labels[0]), "-", ".");
  std::string colons = replace_all(std::string(labels[0]), "-", ":");
  in_addr v4{};
  in6_addr v6{};
  if (::inet_pton(AF_INET, dotted.c_str(), &v4) == 1) return dotted;
  if (::inet_pton(AF_INET6, colons.c_str(), &v6) == 1) return colons;
  return "";
}

std::string reverse_name(std::string_view ip) {
  std::string text(ip);
  unsigned char bytes[16];
  std::string out;
  if (::inet_pton(AF_INET, text.c_str(), bytes) == 1) {
    for (int i = 3; i >= 0; --i) out += std::to_string(bytes[i]) + ".";
    return out + "in-addr.arpa";
  }
  if (::inet_pton(AF_INET6, text.c_str(), bytes) == 1) {
    const char* digits = "0123456789abcdef";
    for (int i = 15; i >= 0; --i) {
      out += digits[bytes[i] & 15];
      out += '.';
      out += digits[bytes[i] >> 4];
      out += '.';
    }
    return out + "ip6.arpa";
  }
  return "";
}

}  // namespace berth::net::dns
