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
  HpaController(InformerSet& informers, std::vector<Scalable> kinds, Measure measure)
      : autoscalers_(informers.get(kHorizontalPodAutoscalers)),
        pods_(informers.get(kPods)),
        measure_(std::move(measure)) {
    for (Scalable& kind : kinds) {
      Informer& informer = informers.get(kind.resource);
      kinds_.push_back(Known{std::move(kind), &informer});
    }
  }
  std::string name() const override { return "horizontalpodautoscaler"; }
  std::string component() const override { return "horizontal-pod-autoscaler"; }
  void set_poke(std::function<void(const std::string&)> poke) { poke_ = std::move(poke); }

  std::vector<Watching> watches() override {
    std::vector<Watching> out;
    out.push_back(watch_mapped(autoscalers_, [](const Value& before, const Value& after, Keys& keys) {
      if (before.is_null() || after.is_null() || before["spec"] != after["spec"])
        keys.push_back(key_of(after.is_null() ? before : after));
    }));
    // Only read: an autoscaler looks when its time has come.
    out.push_back(watch_mapped(pods_, [](const Value&, const Value&, Keys&) {}));
    for (const Known& kind : kinds_)
      out.push_back(watch_mapped(*kind.informer, [](const Value&, const Value&, Keys&) {}));
    return out;
  }

  Plan plan(const std::string& key, Time now) override {
    View view;
    const api::Name name = name_of_key(key);
    view.hpa = autoscalers_.get(name);
    if (view.hpa.is_null()) {
      histories_.erase(key);
      questions_.erase(key);
      return {};
    }
    const Target target = find_target(view.hpa);
    view.target_resource = target.resource;
    view.target = target.object;
    view.target_problem = target.problem;
    view.selector = target.selector;
    if (!view.selector.empty()) gather_pods(view, name.ns);
    if (needs_metrics(view) && !take_answer(key, name.ns, view)) return {};
    return plan_autoscaler(view, histories_[key], now);
  }

 private:
  struct Known {
    Scalable kind;
    Informer* informer;
  };
  struct Target {
    api::Resource resource;
    Value object;
    std::string problem, selector;
  };
  // One question about a namespace's pods, for one autoscaler.
  struct Question {
    bool answered = false;
    Result<std::vector<Value>> answer = std::vector<Value>();
  };

  // Without group and kind known there is nothing to scale.
  Target find_target(const Value& hpa) const {
    Target out;
    const Value& reference = hpa["spec"]["scaleTargetRef"];
    const std::string group = api::GroupVersion::parse(reference["apiVersion"].as_string()).group;
    const std::string kind = reference["kind"].str(), name = reference["name"].str();
    for (const Known& known : kinds_) {
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

  void gather_pods(View& view, const std::string& ns) const {
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
      if (same || shared) view.rivals.push_back(key_of(other));
    }
  }

  // False while the answer is on its way; the key is looked at again when it comes.
  bool take_answer(const std::string& key, const std::string& ns, View& view) {
    if (auto found = questions_.find(key); found != questions_.end()) {
      if (!found->second.answered) return false;
      view.measured = std::move(found->second.answer);
      questions_.erase(found);
      return true;
    }
    questions_[key] = Question{};
    measure_(ns, [this, key, alive = lifetime_.guard()](Result<std::vector<Value>> answer) {
      if (!alive) return;
      auto waiting = questions_.find(key);
      if (waiting == questions_.end()) return;
      waiting->second = Question{true, std::move(answer)};
      poke_(key);
    });
    return false;
  }

  Informer& autoscalers_;
  Informer& pods_;
  std::vector<Known> kinds_;
  Measure measure_;
  std::function<void(const std::string&)> poke_;
  std::map<std::string, History> histories_;
  std::map<std::string, Question> questions_;
  Lifetime lifetime_;
};

}  // namespace

std::unique_ptr<Driver> start(InformerSet& informers, std::vector<Scalable> kinds, Measure measure,
                              Driver::Options options) {
  auto controller = std::make_unique<HpaController>(informers, std::move(kinds), std::move(measure));
  HpaController* raw = controller.get();
  auto driver = std::make_unique<Driver>(informers, std::move(controller), std::move(options));
  raw->set_poke([driver = driver.get()](const std::string& key) { driver->poke(key); });
  return driver;
}

}  // namespace berth::controllers::hpa
