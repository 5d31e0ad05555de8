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
  std::string ca_pem;                                 // published in every namespace as kube-root-ca.crt
  controllers::hpa::ReadMetrics read_metrics;         // reads the pods' metrics of a namespace
  controllers::serviceaccount::SignToken sign_token;  // signs tokens of Secrets
  controllers::endpoint::ApiServerAddress address;    // endpoint of default/kubernetes; no ip: no endpoints
  controllers::HandlingRecord* record = nullptr;      // outlives the control plane; null: crashes are not counted
};

class ControlPlane {
 public:
  ControlPlane(Runtime& runtime, client::Client& client, const ControlPlaneConfig& config);
  ~ControlPlane();
  void on_clock_changed();  // the wall clock was set, or the machine was suspended

 private:
  std::unique_ptr<client::InformerSet> informers_;
  std::vector<std::unique_ptr<controllers::Driver>> drivers_;
  std::unique_ptr<scheduler::Scheduler> scheduler_;
};

}  // namespace berth
