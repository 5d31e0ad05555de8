#include "agent/dns/cluster_dns.h"

#include <algorithm>

#include "base/text.h"
#include "client/client.h"

namespace berth::agent {
namespace {

using net::dns::DnsRecord;
using net::dns::RecordType;

constexpr std::string_view kServiceLabel = "kubernetes.io/service-name";
const std::string kByService = "service";

void by_service(const Value& slice, std::vector<std::string>& keys) {
  std::string_view service = api::label_of(slice, kServiceLabel);
  if (!service.empty()) keys.push_back(std::string(api::namespace_of(slice)) + "/" + std::string(service));
}

RecordType address_type(std::string_view ip) {
  return ip.find(':') == std::string_view::npos ? RecordType::kA : RecordType::kAaaa;
}

std::string port_prefix(const Value& port) {
  return "_" + lower(port["name"].as_string()) + "._" + lower(port["protocol"].as_string("TCP")) + ".";
}

void add_cluster_ip_records(const Value& service, const std::string& name, std::vector<DnsRecord>& out) {
  std::vector<std::string> ips;
  for (const Value& ip : service["spec"]["clusterIPs"]) ips.push_back(ip.str());
  if (ips.empty()) ips.push_back(service["spec"]["clusterIP"].str());
  for (const std::string& ip : ips) {
    out.push_back({name, address_type(ip), ip});
    if (std::string reverse = net::dns::reverse_name(ip); !reverse.empty())
      out.push_back({reverse, RecordType::kPtr, name});
  }
  for (const Value& port : service["spec"]["ports"]) {
    auto number = static_cast<std::uint16_t>(port["port"].as_int());
    out.push_back({name, RecordType::kSrv, name, number, 100});
    if (!port["name"].as_string().empty())
      out.push_back({port_prefix(port) + name, RecordType::kSrv, name, number, 100});
  }
}

struct Member {
  std::string host, ip;
  bool named = false;
};

void add_headless_records(const Value& service, const std::vector<Value>& slices, const std::string& name,
                          std::vector<DnsRecord>& out) {
  bool unready_too = service["spec"]["publishNotReadyAddresses"].as_bool();
  struct PortRecord {
    std::string owner, target;
    std::uint16_t port;
  };
  std::vector<PortRecord> services;
  std::vector<std::string> seen;
  for (const Value& slice : slices) {
    for (const Value& endpoint : slice["endpoints"]) {
      if (!unready_too && !endpoint["conditions"]["ready"].as_bool(true)) continue;
      for (const Value& address : endpoint["addresses"]) {
        std::string ip = address.str();
        Member member{endpoint["hostname"].str(), ip, !endpoint["hostname"].as_string().empty()};
        if (!member.named) member.host = replace_all(replace_all(ip, ".", "-"), ":", "-");
        std::string target = lower(member.host) + "." + name;
        out.push_back({name, address_type(ip), ip});
        out.push_back({target, address_type(ip), ip});
        if (std::string reverse = net::dns::reverse_name(ip); !reverse.empty() && member.named) {
          out.push_back({reverse, RecordType::kPtr, target});
        }
        for (const Value& port : slice["ports"]) {
          auto number = static_cast<std::uint16_t>(port["port"].as_int());
          services.push_back({name, target, number});
          if (!port["name"].as_string().empty()) services.push_back({port_prefix(port) + name, target, number});
        }
        if (slice["ports"].empty()) services.push_back({name, target, 0});
        if (std::find(seen.begin(), seen.end(), target) == seen.end()) seen.push_back(target);
      }
    }
  }
  auto weight = static_cast<std::uint16_t>(std::max<std::size_t>(1, 100 / std::max<std::size_t>(1, seen.size())));
  for (const PortRecord& s : services) out.push_back({s.owner, RecordType::kSrv, s.target, s.port, weight});
}

}  // namespace

std::vector<DnsRecord> service_records(const Value& service, const std::vector<Value>& slices,
                                       const std::string& domain) {
  std::vector<DnsRecord> out;
  if (!service.is_object()) return out;
  std::string name = lower(api::name_of(service)) + "." + std::string(api::namespace_of(service)) + ".svc." + domain;
  if (service["spec"]["type"].as_string() == "ExternalName") {
    out.push_back({name, RecordType::kCname, lower(service["spec"]["externalName"].as_string())});
  } else if (service["spec"]["clusterIP"].as_string() == "None") {
    add_headless_records(service, slices, name, out);
  } else if (!service["spec"]["clusterIP"].as_string().empty()) {
    add_cluster_ip_records(service, name, out);
  }
  return out;
}

ClusterDns::ClusterDns(client::InformerSet& informers, net::dns::DnsServer& server)
    : zone_(server.zone()),
      services_(informers.get(api::resources::kServices)),
      slices_(informers.get(api::resources::kEndpointSlices)) {
  zone_.replace("dns", {{"dns-version." + zone_.domain(), RecordType::kTxt, "1.1.0"}});
  slices_.add_index(kByService, by_service);
  subscriptions_.push_back(services_.subscribe([this](const Value& before, const Value& after) {
    const Value& service = after.is_null() ? before : after;
    refresh(std::string(api::namespace_of(service)), std::string(api::name_of(service)));
  }));
  subscriptions_.push_back(slices_.subscribe([this](const Value& before, const Value& after) {
    std::vector<std::string> keys;
    by_service(before, keys);
    by_service(after, keys);
    std::sort(keys.begin(), keys.end());
    keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
    for (const std::string& key : keys) {
      Cut parts = cut(key, "/");
      refresh(std::string(parts.before), std::string(parts.after));
    }
  }));
}

ClusterDns::~ClusterDns() = default;

void ClusterDns::refresh(const std::string& ns, const std::string& service) {
  zone_.replace(
      "svc/" + ns + "/" + service,
      service_records(services_.get(ns, service), slices_.by_index(kByService, ns + "/" + service), zone_.domain()));
}

}  // namespace berth::agent
