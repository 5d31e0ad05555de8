#include "apiserver/validation/addresses.h"

#include <arpa/inet.h>

#include <array>
#include <cstring>
#include <optional>

#include "base/text.h"

namespace berth::apiserver::validation {
namespace {

constexpr const char* kIpText = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
constexpr const char* kCidrText = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";

// As Go's net.IP: IPv4 lives in the last four bytes.
struct Address {
  std::array<unsigned char, 16> bytes{};
  bool v4 = false;      // in dotted form
  bool mapped = false;  // an IPv4 address in IPv6 form
  bool zeros = false;   // a part with needless zeros in front
};

std::optional<Address> parse_v4(std::string_view text) {
  Address out;
  out.v4 = true;
  const std::vector<std::string_view> parts = split(text, '.');
  if (parts.size() != 4) return std::nullopt;
  for (std::size_t i = 0; i < 4; ++i) {
    const Result<long> number = parse_int(parts[i]);
    const bool digits = !parts[i].empty() && parts[i].find_first_not_of("0123456789") == std::string_view::npos;
    if (!digits || !number.ok() || *number > 255) return std::nullopt;
    out.zeros = out.zeros || (parts[i].size() > 1 && parts[i][0] == '0');
    out.bytes[12 + i] = static_cast<unsigned char>(*number);
  }
  out.bytes[10] = out.bytes[11] = 0xff;
  return out;
}

std::optional<Address> parse_address(std::string_view text) {
  if (text.find(':') == std::string_view::npos) return parse_v4(text);
  Address out;
  if (::inet_pton(AF_INET6, std::string(text).c_str(), out.bytes.data()) != 1) return std::nullopt;
  static constexpr unsigned char kMapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  out.mapped = std::memcmp(out.bytes.data(), kMapped, sizeof kMapped) == 0;
  return out;
}

bool is_four(const Address& address) { return address.v4 || address.mapped; }

bool beyond_prefix(const Address& address, long prefix) {
  const std::size_t first = address.v4 ? 12 : 0, bits = static_cast<std::size_t>(prefix);
  for (std::size_t bit = bits; bit < (16 - first) * 8; ++bit) {
    if ((address.bytes[first + bit / 8] >> (7 - bit % 8)) & 1) return true;
  }
  return false;
}

}  // namespace

bool is_ipv4(std::string_view text) {
  const auto address = parse_address(text);
  return address && is_four(*address);
}
bool is_ipv6(std::string_view text) {
  const auto address = parse_address(text);
  return address && !is_four(*address);
}

std::vector<std::string> is_legacy_ip(std::string_view text, bool strict) {
  const auto address = parse_address(text);
  if (!address) return {kIpText};
  if (strict && address->zeros) return {"must not have leading 0s"};
  if (strict && address->mapped) return {"must not be an IPv4-mapped IPv6 address"};
  return {};
}

std::vector<std::string> is_legacy_cidr(std::string_view text, bool strict) {
  const Cut parts = cut(text, "/");
  const auto address = parse_address(parts.before);
  const Result<long> prefix = parse_int(parts.after);
  const bool digits = !parts.after.empty() && parts.after.find_first_not_of("0123456789") == std::string_view::npos;
  if (!parts.found || !address || !digits || !prefix.ok() || *prefix > (address->v4 ? 32 : 128)) return {kCidrText};
  if (!strict) return {};
  if (address->zeros || (parts.after.size() > 1 && parts.after[0] == '0'))
    return {"must not have leading 0s in IP or prefix length"};
  if (address->mapped) return {"must not have an IPv4-mapped IPv6 address"};
  if (beyond_prefix(*address, *prefix)) return {"must not have bits set beyond the prefix length"};
  return {};
}

void check_special_ip(Report& report, const Path& path, const Value& address) {
  const auto parsed = parse_address(address.as_string());
  if (!parsed) return report.invalid(path, address, "must be a valid IP address");
  const auto& b = parsed->bytes;
  const bool four = is_four(*parsed);
  bool zero = true, tail_zero = true;
  for (std::size_t i = four ? 12 : 0; i < 16; ++i) zero = zero && b[i] == 0;
  for (std::size_t i = 0; i < 15; ++i) tail_zero = tail_zero && b[i] == 0;
  if (zero) report.invalid(path, address, "may not be unspecified (" + address.str() + ")");
  if (four ? b[12] == 127 : tail_zero && b[15] == 1)
    report.invalid(path, address, "may not be in the loopback range (127.0.0.0/8, ::1/128)");
  if (four ? b[12] == 169 && b[13] == 254 : b[0] == 0xfe && (b[1] & 0xc0) == 0x80) {
    report.invalid(path, address, "may not be in the link-local range (169.254.0.0/16, fe80::/10)");
  }
  if (four ? b[12] == 224 && b[13] == 0 && b[14] == 0 : b[0] == 0xff && (b[1] & 0x0f) == 0x02) {
    report.invalid(path, address, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
  }
}

}  // namespace berth::apiserver::validation
