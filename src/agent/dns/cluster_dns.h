#pragma once
// ClusterDns: keeps the node's DNS zone equal to the cluster's Services and their endpoints, by the rules of
// "Kubernetes DNS-Based Service Discovery" 1.1.0. On the agent's loop.

#include <memory>
#include <string>
#include <vector>

#include "base/json/json.h"
#include "client/informer.h"
#include "net/dns/server.h"

namespace berth::agent {

// All records of one Service, from itself and its EndpointSlices. Pure.
std::vector<net::dns::DnsRecord> service_records(const Value& service, const std::vector<Value>& slices,
                                                 const std::string& domain);

class ClusterDns {
 public:
  // The server and the informers outlive this.
  ClusterDns(client::InformerSet& informers, net::dns::DnsServer& server);
  ~ClusterDns();

 private:
  void refresh(const std::string& ns, const std::string& service);

  net::dns::Zone& zone_;
  client::Informer& services_;
  client::Informer& slices_;
  std::vector<std::unique_ptr<client::Subscription>> subscriptions_;
};

}  // namespace berth::agent
