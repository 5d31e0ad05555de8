#include "controllers/hpa/controller.h"

#include <map>

#include "api/selector.h"
#include "base/lifetime.h"
#include "base/text.h"
#include "controllers/hpa/plan.h"

namespace berth::controllers::hpa {
namespace {

using namespace api::resources;  // NOLINT

class HpaController final : public Controller {
 public:
  HpaController(InformerSet& informers, std::vector<Scalable> kinds, ReadMetrics read_metrics)
      : autoscalers_(informers.get(kHorizontalPodAutoscalers)),
        pods_(informers.get(kPods)),
        read_metrics_(std::move(read_metrics)) {
    for (Scalable& kind : kinds) {
      Informer& informer = informers.get(kind.resource);
      kinds_.push_back(KindCache{std::move(kind), &informer});
    }
  }
  std::string name() const override { return "horizontalpodautoscaler"; }
  std::string component() const override { return "horizontal-pod-autoscaler"; }
  void set_enqueue(std::function<void(const std::string&)> enqueue) { enqueue_ = std::move(enqueue); }

  std::vector<WatchedCollection> watches() override {
    std::vector<WatchedCollection> out;
    out.push_back(watch_mapped(autoscalers_, [](const Value& before, const Value& after, Keys& keys) {
      if (before.is_null() || after.is_null() || before["spec"] != after["spec"])
        keys.push_back(key_of(after.is_null() ? before : after));
    }));
    // Read by plan(); their changes trigger no sync: that is periodic.
    out.push_back(watch_mapped(pods_, [](const Value&, const Value&, Keys&) {}));
    for (const KindCache& kind : kinds_)
      out.push_back(watch_mapped(*kind.informer, [](const Value&, const Value&, Keys&) {}));
    return out;
  }

  Plan plan(const std::string& key, Time now) override {
    HpaView view;
    const api::Name name = name_of_key(key);
    view.hpa = autoscalers_.get(name);
    if (view.hpa.is_null()) {
      histories_.erase(key);
      reads_.erase(key);
      return {};
    }
    const Target target = find_target(view.hpa);
    view.target_resource = target.resource;
    view.target = target.object;
    view.target_problem = target.problem;
    view.selector = target.selector;
    if (!view.selector.empty()) collect_pods(view, name.ns);
    if (needs_metrics(view) && !take_metrics(key, name.ns, view)) return {};
    return plan_autoscaler(view, histories_[key], now);
  }

 private:
  struct KindCache {
    Scalable kind;
    Informer* informer;
  };
  struct Target {
    api::Resource resource;
    Value object;
    std::string problem, selector;
  };
  // One read of a namespace's PodMetrics, for one autoscaler.
  struct MetricsRead {
    bool answered = false;
    Result<std::vector<Value>> answer = std::vector<Value>();
  };

  // Fills `problem` if the kind is unknown or the object does not exist.
  Target find_target(const Value& hpa) const {
    Target out;
    const Value& reference = hpa["spec"]["scaleTargetRef"];
    const std::string group = api::GroupVersion::parse(reference["apiVersion"].as_string()).group;
    const std::string kind = reference["kind"].str(), name = reference["name"].str();
    for (const KindCache& known : kinds_) {
      if (known.kind.kind != kind || known.kind.resource.group != group) continue;
      out.resource = known.kind.resource;
      out.object = known.informer->get(api::namespace_of(hpa), name);
      if (out.object.is_null()) {
        out.problem = known.kind.resource.group_resource() + " " + quoted(name) + " not found";
        return out;
      }
      const Value& selector = out.object["spec"]["selector"];
      const auto parsed = group.empty() ? Result<api::LabelSelector>(api::LabelSelector::of_map(selector))
                                        : api::LabelSelector::of_object(selector);
      if (parsed.ok()) out.selector = parsed->to_string();
      return out;
    }
    out.problem = "no matches for kind " + quoted(kind) + " in group " + quoted(group);
    return out;
  }

  void collect_pods(HpaView& view, const std::string& ns) const {
    const auto selector = api::LabelSelector::parse(view.selector);
    if (!selector.ok()) return;
    for (Value& pod : pods_.list(ns)) {
      if (selector->matches(api::labels_of(pod))) view.pods.push_back(std::move(pod));
    }
    for (const Value& other : autoscalers_.list(ns)) {
      const auto theirs = api::LabelSelector::parse(find_target(other).selector);
      const bool same = api::uid_of(other) == api::uid_of(view.hpa);
      bool shared = false;
      for (const Value& pod : view.pods)
        shared = shared || (theirs.ok() && !theirs->matches_everything() && theirs->matches(api::labels_of(pod)));
      if (same || shared) view.competing.push_back(key_of(other));
    }
  }

  // Returns false while the read is in flight; the key is enqueued when it is answered.
  bool take_metrics(const std::string& key, const std::string& ns, HpaView& view) {
    if (auto found = reads_.find(key); found != reads_.end()) {
      if (!found->second.answered) return false;
      view.measured = std::move(found->second.answer);
      reads_.erase(found);
      return true;
    }
    reads_[key] = MetricsRead{};
    read_metrics_(ns, [this, key, alive = lifetime_.guard()](Result<std::vector<Value>> answer) {
      if (!alive) return;
      auto waiting = reads_.find(key);
      if (waiting == reads_.end()) return;
      waiting->second = MetricsRead{true, std::move(answer)};
      enqueue_(key);
    });
    return false;
  }

  Informer& autoscalers_;
  Informer& pods_;
  std::vector<KindCache> kinds_;
  ReadMetrics read_metrics_;
  std::function<void(const std::string&)> enqueue_;
  std::map<std::string, ScalingHistory> histories_;
  std::map<std::string, MetricsRead> reads_;
  Lifetime lifetime_;
};

}  // namespace

std::unique_ptr<Driver> start(InformerSet& informers, std::vector<Scalable> kinds, ReadMetrics read_metrics,
                              Driver::Options options) {
  auto controller = std::make_unique<HpaController>(informers, std::move(kinds), std::move(read_metrics));
  HpaController* raw = controller.get();
  auto driver = std::make_unique<Driver>(informers, std::move(controller), std::move(options));
  raw->set_enqueue([driver = driver.get()](const std::string& key) { driver->enqueue(key); });
  return driver;
}

}  // namespace berth::controllers::hpa
