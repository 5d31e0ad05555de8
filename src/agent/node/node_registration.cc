#include "agent/node/node_registration.h"

#include "agent/node/node_object.h"
#include "api/object.h"
#include "base/log.h"
#include "base/text.h"
#include "base/time/time.h"
#include "client/event_recorder.h"
#include "client/informer.h"

namespace berth::agent {
namespace {

constexpr Duration kRetry = 200ms;
constexpr Duration kCorrections = 1s;  // between two of what others wrote
constexpr Duration kRenewals = 1s;     // between two of the lease, at least
constexpr int kLeaseSeconds = 40;
constexpr std::string_view kLeaseNamespace = "kube-node-lease";
constexpr std::size_t kMostImages = 50;

Value image_list(const ImageStore& images) {
  Value out = Value::array();
  for (const auto& image : images.list()) {
    if (out.size() == kMostImages) break;
    Value names = Value::array();
    for (const auto& name : image->digests) names.push(name);
    for (const auto& name : image->tags) names.push(name);
    if (!names.empty()) out.push(Value::object({{"names", std::move(names)}, {"sizeBytes", image->size_bytes}}));
  }
  return out;
}

}  // namespace

struct NodeRegistration::Impl : std::enable_shared_from_this<Impl> {
  Services& services;
  Function<void()> ready;
  std::function<void()> heartbeat;
  std::function<bool()> disk_pressure;
  Value node, lease;
  std::optional<Duration> last_status, last_renewal;  // monotonic
  TimerId timer = 0, renewal = 0;                     // `renewal`: one that is due before the next turn
  bool registered = false, over = false, writing = false, renewing = false, correcting = false, made = false;
  bool renew_again = false;                    // the server may be another one than the renewal under way was sent to
  std::unique_ptr<client::Informer> informer;  // of this node alone
  std::unique_ptr<client::Subscription> subscription;

  Impl(Services& s, Function<void()> r, std::function<void()> beat, std::function<bool()> pressure)
      : services(s), ready(std::move(r)), heartbeat(std::move(beat)), disk_pressure(std::move(pressure)) {}

  template <class F>
  auto guarded(F f) {
    return [self = weak_from_this(), f = std::move(f)](Result<Value> answer) mutable {
      if (auto state = self.lock(); state && !state->over) f(*state, std::move(answer));
    };
  }

  void again(void (Impl::*step)(), Duration delay) {
    services.runtime.after(delay, [self = weak_from_this(), step] {
      if (auto state = self.lock(); state && !state->over) (*state.*step)();
    });
  }

  void find() {
    services.client.get(api::resources::kNodes, api::Name{"", services.config.node_name},
                        guarded([](Impl& s, Result<Value> answer) {
                          if (answer.ok()) {
                            s.node = *answer;
                            return s.set_labels();
                          }
                          if (answer.failed_with(Code::kNotFound)) return s.create();
                          s.again(&Impl::find, kRetry);
                        }));
  }

  Value status_now() const {
    NodeFacts facts = read_node_facts(services.config.data_dir);
    facts.disk_pressure = disk_pressure();
    return make_node_status(services.config, facts, node, image_list(services.images), services.runtime.now());
  }

  void create() {
    Value fresh = make_node(services.config, read_node_facts(services.config.data_dir));
    fresh.set("status", status_now());
    services.client.create(api::resources::kNodes, std::move(fresh), api::WriteOptions{"", "kubelet"},
                           guarded([](Impl& s, Result<Value> answer) {
                             if (!answer.ok()) return s.again(&Impl::find, kRetry);
                             s.node = *answer;
                             s.made = true;
                             s.write_status();
                           }));
  }

  void set_labels() {
    Value labels = node_labels(services.config, read_node_facts(services.config.data_dir)), missing = Value::object();
    for (auto [key, value] : labels.entries()) {
      if (node["metadata"]["labels"][key] != value) missing.set(key, value);
    }
    if (missing.empty()) return write_status();
    Value patch = Value::object({{"metadata", Value::object({{"labels", std::move(missing)}})}});
    services.client.patch(api::resources::kNodes, api::Name{"", services.config.node_name}, api::PatchType::kMerge,
                          std::move(patch), api::WriteOptions{"", "kubelet"},
                          guarded([](Impl& s, Result<Value> answer) {
                            if (!answer.ok()) return s.again(&Impl::find, kRetry);
                            s.node = *answer;
                            s.write_status();
                          }));
  }

  void write_status() {
    if (writing) return;
    Value status = status_now();
    bool first = !registered;
    // A node that this agent made has its status from the beginning, and was never ready before.
    bool was_ready = !made && api::condition_is_true(node, "Ready");
    if (!node_status_differs(node["status"], status) &&
        (first || services.runtime.monotonic() - *last_status < services.config.status_heartbeat)) {
      if (!last_status) last_status = services.runtime.monotonic();
      return now_registered(was_ready);
    }
    writing = true;
    Value patch = Value::object({{"status", std::move(status)}});
    services.client.patch(
        api::resources::kNodes, api::Name{"", services.config.node_name}, api::PatchType::kStrategic, std::move(patch),
        api::WriteOptions{"status", "kubelet"}, guarded([was_ready](Impl& s, Result<Value> answer) {
          s.writing = false;
          if (!answer.ok()) {
            if (!answer.failed_with(Code::kUnavailable))
              log_warning("agent", "node status not written", {{"error", answer.error().message}});
            return s.again(s.registered && !answer.failed_with(Code::kNotFound) ? &Impl::write_status : &Impl::find,
                           s.registered ? 1s : kRetry);
          }
          s.node = *answer;
          s.last_status = s.services.runtime.monotonic();
          s.now_registered(was_ready);
        }));
  }

  void now_registered(bool was_ready) {
    if (std::exchange(registered, true)) return;
    // Kubelets name themselves in place of a uid; clients look for both.
    Value self = node;
    self.mut("metadata").set("uid", services.config.node_name);
    auto tell = [&](std::string_view reason, std::string_view message) {
      services.events.event(self, client::kNormal, reason, message);
    };
    tell("Starting", "Starting kubelet.");
    if (!was_ready) {
      for (const char* reason : {"NodeHasSufficientMemory", "NodeHasNoDiskPressure", "NodeHasSufficientPID"}) {
        tell(reason, "Node " + services.config.node_name + " status is now: " + reason);
      }
      tell("NodeAllocatableEnforced", "Updated Node Allocatable limit across pods");
      tell("NodeReady", "Node " + services.config.node_name + " status is now: NodeReady");
    }
    tick();
    follow();
    if (auto done = std::exchange(ready, nullptr)) done();
  }

  // The node controller sets conditions to Unknown if the node has not reported for a while. Corrects such a status at
  // once, and at most once a second, however often another client writes it.
  void follow() {
    informer = client::make_informer(services.runtime, services.client, api::resources::kNodes,
                                     api::ListOptions{"", "", "metadata.name=" + services.config.node_name});
    subscription = informer->subscribe([self = weak_from_this()](const Value&, const Value& now) {
      if (auto state = self.lock(); state && !state->over) state->changed(now);
    });
    informer->on_cut_off([this] { server_lost(); });
  }

  // Renewals need not reach the disk: a server that was killed has an older lease when it is back, whose agent seems to
  // have been silent for long. So it is renewed as soon as there is a server, not at the next turn.
  void server_lost() {
    lease = Value();
    renew_again = true;
    if (!renewing) renew_soon();
  }

  void changed(const Value& now) {
    auto theirs = parse_int(api::resource_version_of(now)), ours = parse_int(api::resource_version_of(node));
    if (now.is_null() || writing || (theirs.ok() && ours.ok() && *theirs <= *ours)) return;
    node = now;
    if (correcting || !node_status_differs(node["status"], status_now())) return;
    correcting = true;
    renew_soon();
    write_status();
    services.runtime.after(kCorrections, [self = weak_from_this()] {
      auto state = self.lock();
      if (!state || state->over) return;
      state->correcting = false;
      state->write_status();
    });
  }

  // Every renewal: the lease, and the status where it has changed or is old.
  void tick() {
    timer = services.runtime.after(services.config.lease_renewal, [self = weak_from_this()] {
      if (auto state = self.lock(); state && !state->over) state->tick();
    });
    renew_soon();
    heartbeat();
    write_status();
  }

  // Now, or where the last renewal was a moment ago, a second after it: a server that comes and goes is not flooded.
  void renew_soon() {
    if (renewal) return;
    const Duration now = services.runtime.monotonic();
    if (!last_renewal || *last_renewal + kRenewals <= now) return renew();
    renewal = services.runtime.after(*last_renewal + kRenewals - now, [self = weak_from_this()] {
      auto state = self.lock();
      if (!state || state->over) return;
      state->renewal = 0;
      state->renew();
    });
  }

  void renew() {
    if (std::exchange(renewing, true)) return;
    last_renewal = services.runtime.monotonic();
    renew_again = false;
    if (lease.is_null()) return read_lease();
    write_lease();
  }

  void write_lease() {
    Value next = lease;
    next.mut("spec").set("renewTime", format_micro_time(services.runtime.now()));
    next.mut("spec").set("holderIdentity", services.config.node_name);
    services.client.update(api::resources::kLeases, std::move(next), api::WriteOptions{"", "kubelet"},
                           guarded([](Impl& s, Result<Value> answer) { s.renewed(std::move(answer)); }));
  }

  void renewed(Result<Value> answer) {
    renewing = false;
    // After a failure the lease is read again: another client may have written it.
    const bool good = answer.ok() && !renew_again;
    lease = good ? *answer : Value();
    if (!good) renew_soon();
  }

  void read_lease() {
    services.client.get(api::resources::kLeases, api::Name{std::string(kLeaseNamespace), services.config.node_name},
                        guarded([](Impl& s, Result<Value> answer) {
                          if (answer.failed_with(Code::kNotFound)) return s.create_lease();
                          if (!answer.ok()) return s.renewed(std::move(answer));
                          s.lease = *answer;
                          s.write_lease();
                        }));
  }

  void create_lease() {
    Value owner = Value::object({{"apiVersion", "v1"},
                                 {"kind", "Node"},
                                 {"name", services.config.node_name},
                                 {"uid", std::string(api::uid_of(node))}});
    Value fresh = Value::object({{"apiVersion", "coordination.k8s.io/v1"},
                                 {"kind", "Lease"},
                                 {"metadata", Value::object({{"name", services.config.node_name},
                                                             {"namespace", kLeaseNamespace},
                                                             {"ownerReferences", Value::array({owner})}})},
                                 {"spec", Value::object({{"holderIdentity", services.config.node_name},
                                                         {"leaseDurationSeconds", kLeaseSeconds},
                                                         {"renewTime", format_micro_time(services.runtime.now())}})}});
    services.client.create(api::resources::kLeases, std::move(fresh), api::WriteOptions{"", "kubelet"},
                           guarded([](Impl& s, Result<Value> answer) { s.renewed(std::move(answer)); }));
  }
};

NodeRegistration::NodeRegistration(Services& services, Function<void()> ready, std::function<void()> heartbeat,
                                   std::function<bool()> disk_pressure)
    : impl_(std::make_shared<Impl>(services, std::move(ready), std::move(heartbeat), std::move(disk_pressure))) {}

NodeRegistration::~NodeRegistration() {
  impl_->over = true;
  impl_->subscription.reset();
  impl_->informer.reset();
  for (TimerId timer : {impl_->timer, impl_->renewal}) {
    if (timer) impl_->services.runtime.cancel(timer);
  }
}

void NodeRegistration::begin() { impl_->find(); }

const Value& NodeRegistration::node() const { return impl_->node; }

void NodeRegistration::status_changed() {
  if (impl_->registered && !impl_->over) impl_->write_status();
}

}  // namespace berth::agent
