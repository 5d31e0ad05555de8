#include "main/control_plane.h"

#include "api/schema/schema.h"
#include "controllers/cronjob/controller.h"
#include "controllers/daemonset/controller.h"
#include "controllers/deployment/controller.h"
#include "controllers/disruption/controller.h"
#include "controllers/endpoint/controller.h"
#include "controllers/gc/controller.h"
#include "controllers/job/controller.h"
#include "controllers/namespace/controller.h"
#include "controllers/node/controller.h"
#include "controllers/podgc/controller.h"
#include "controllers/quota/controller.h"
#include "controllers/replicaset/controller.h"
#include "controllers/serviceaccount/controller.h"
#include "controllers/statefulset/controller.h"
#include "controllers/volume/controller.h"
#include "scheduler/scheduler.h"

namespace berth {
namespace {

// All kinds that can be owned and deleted.
std::vector<controllers::DeletableKind> collected_kinds() {
  std::vector<controllers::DeletableKind> out;
  for (const api::schema::Kind* kind : api::schema::builtin().kinds()) {
    // Autoscalers have two versions; one of them is enough.
    if (kind->kind == "HorizontalPodAutoscaler" && kind->version == "v1") continue;
    bool collectable = kind->has_verb("list") && kind->has_verb("watch") && kind->has_verb("delete");
    if (collectable && kind->kind != "Event") out.push_back({kind->resource(), kind->kind, kind->namespaced});
  }
  return out;
}

std::vector<controllers::hpa::Scalable> scalable_kinds() {
  std::vector<controllers::hpa::Scalable> out;
  for (const api::schema::Kind* kind : api::schema::builtin().kinds()) {
    if (kind->has_subresource("scale") && kind->has_verb("watch")) out.push_back({kind->resource(), kind->kind});
  }
  return out;
}

std::vector<api::Resource> counted_kinds() {
  std::vector<api::Resource> out;
  for (const controllers::DeletableKind& kind : collected_kinds()) {
    if (kind.namespaced) out.push_back(kind.resource);
  }
  return out;
}

}  // namespace

ControlPlane::ControlPlane(Runtime& runtime, client::Client& client, const ControlPlaneConfig& config)
    : informers_(std::make_unique<client::InformerSet>(runtime, client)) {
  controllers::Driver::Options options;
  options.record = config.record;
  options.field_manager = "kube-controller-manager";  // as upstream, where all controllers are one program
  auto run = [this, &options](std::unique_ptr<controllers::Controller> controller) {
    drivers_.push_back(std::make_unique<controllers::Driver>(*informers_, std::move(controller), options));
  };
  run(controllers::statefulset::make_controller(*informers_));
  run(controllers::daemonset::make_controller(*informers_));
  run(controllers::deployment::make_controller(*informers_));
  run(controllers::replicaset::make_controller(*informers_));
  run(controllers::replicaset::make_controller(*informers_,
                                               controllers::replicaset::OwnerKind::kReplicationController));
  run(controllers::job::make_controller(*informers_));
  run(controllers::job::make_expiry_controller(*informers_));
  run(controllers::cronjob::make_controller(*informers_, api::TimeZone::of_this_machine()));
  run(controllers::endpoint::make_slice_controller(*informers_));
  run(controllers::endpoint::make_endpoints_controller(*informers_));
  run(controllers::endpoint::make_mirror_controller(*informers_));
  if (!config.address.ip.empty()) run(controllers::endpoint::make_api_server_controller(*informers_, config.address));
  for (auto& controller : controllers::node::make_controllers(*informers_)) run(std::move(controller));
  for (auto& controller : controllers::podgc::make_controllers(*informers_)) run(std::move(controller));
  for (auto& controller : controllers::volume::make_controllers(*informers_)) run(std::move(controller));
  run(controllers::gc::make_controller(*informers_, collected_kinds()));
  run(controllers::namespaces::make_controller(*informers_, collected_kinds()));
  run(controllers::serviceaccount::make_account_controller(*informers_));
  run(controllers::serviceaccount::make_root_ca_controller(*informers_, config.ca_pem));
  run(controllers::serviceaccount::make_token_controller(*informers_, config.ca_pem, config.sign_token));
  for (auto& controller : controllers::disruption::make_controllers(*informers_)) run(std::move(controller));
  run(controllers::quota::make_controller(*informers_, counted_kinds()));
  drivers_.push_back(controllers::hpa::start(*informers_, scalable_kinds(), config.read_metrics, options));
  scheduler::SchedulerOptions scheduling;
  scheduling.record = config.record;
  scheduler_ = std::make_unique<scheduler::Scheduler>(*informers_, std::move(scheduling));
}

ControlPlane::~ControlPlane() = default;

void ControlPlane::on_clock_changed() {
  for (auto& driver : drivers_) driver->on_clock_changed();
}

}  // namespace berth
