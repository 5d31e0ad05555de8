#pragma once
// All controllers and the scheduler of a server, over one client and one set of informers.

#include <memory>
#include <string>
#include <vector>

#include "base/runtime.h"
#include "client/client.h"
#include "controllers/driver.h"
#include "controllers/endpoint/api_server.h"
#include "controllers/hpa/controller.h"
#include "controllers/serviceaccount/controller.h"

namespace berth::scheduler {
class Scheduler;
}

namespace berth {

struct ControlPlaneConfig {
  std::string ca_pem;                               // published in every namespace as kube-root-ca.crt
  controllers::hpa::Measure measure;                // what the pods of a namespace use
  controllers::serviceaccount::Sign sign;           // tokens of Secrets
  controllers::endpoint::ApiServerAddress address;  // where default/kubernetes leads; no ip: it has no endpoints
  controllers::HandlingRecord* record = nullptr;    // outlives the control plane; null: deaths are not noted
};

class ControlPlane {
 public:
  ControlPlane(Runtime& runtime, client::Client& client, const ControlPlaneConfig& config);
  ~ControlPlane();
  void clock_moved();  // the wall clock was set, or the machine was suspended

 private:
  std::unique_ptr<client::InformerSet> informers_;
  std::vector<std::unique_ptr<controllers::Driver>> drivers_;
  std::unique_ptr<scheduler::Scheduler> scheduler_;
};

}  // namespace berth
