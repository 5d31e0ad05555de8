#include "controllers/podgc/controller.h"

#include <algorithm>
#include <map>

#include "controllers/shared/live_reader.h"

namespace berth::controllers::podgc {
namespace {

using namespace api::resources;  // NOLINT

// --- Lost pods

class LostController final : public Controller {
 public:
  LostController(InformerSet& informers, PodGcConfig config)
      : config_(config),
        runtime_(informers.runtime()),
        nodes_(informers.get(kNodes)),
        pods_(informers.get(kPods)),
        reader_(informers) {
    pods_.add_index(index::kNode, index::by_node);
  }
  std::string name() const override { return "pod-garbage-collector"; }
  std::string component() const override { return "pod-garbage-collector"; }

  std::vector<WatchedCollection> watches() override {
    std::vector<WatchedCollection> out;
    out.push_back(watch_mapped(nodes_, [this](const Value& before, const Value& after, Keys& keys) {
      if (!after.is_null()) missing_.erase(std::string(api::name_of(after)));
      const bool out_now = is_out_of_service(after) && !is_out_of_service(before);
      if (!after.is_null() && !out_now) return;
      const Value& node = after.is_null() ? before : after;
      for (const Value& pod : pods_.by_index(index::kNode, std::string(api::name_of(node))))
        keys.push_back(key_of(pod));
    }));
    out.push_back(watch_mapped(pods_, [this](const Value& before, const Value& after, Keys& keys) {
      if (after.is_null()) return;
      const std::string_view name = after["spec"]["nodeName"].as_string();
      const Value& node = nodes_.get("", name);
      const bool is_deleted = api::is_terminating(after);
      const bool lost = name.empty() ? is_deleted : node.is_null() || (is_deleted && is_out_of_service(node));
      if (lost) keys.push_back(key_of(after));
    }));
    return out;
  }

  Plan plan(const std::string& key, Time now) override {
    LostView view;
    view.pod = pods_.get(name_of_key(key));
    const std::string node = view.pod["spec"]["nodeName"].str();
    if (!node.empty()) {
      view.node = nodes_.get("", node);
      if (view.node.is_null()) {
        auto [at, fresh] = missing_.try_emplace(node, runtime_.monotonic());
        view.node_missing = std::min(runtime_.monotonic() - at->second, age_of(view.pod, now));
      }
    }
    if (needs_live_node(view, config_)) {
      const LiveReader::Answer answer = reader_.get(kNodes, api::Name{"", node}, api::uid_of(view.pod));
      if (!answer.known()) {
        Plan retry;
        LiveReader::requeue_until_known(answer, retry);
        return retry;
      }
      view.live_node = answer.items.empty() ? LostView::LiveNode::kGone : LostView::LiveNode::kThere;
    }
    return plan_lost(view, config_, now);
  }
  Value object_of_key(const std::string& key, const Informer&) const override { return pods_.get(name_of_key(key)); }

 private:
  // A pod created for a node that is missing already gets the complete quarantine: its owner would otherwise replace it
  // in a loop.
  static Duration age_of(const Value& pod, Time now) {
    const auto made = parse_time(pod["metadata"]["creationTimestamp"].as_string());
    return made.ok() ? std::max<Duration>(now - made.value(), Duration::zero()) : Duration::max();
  }

  PodGcConfig config_;
  Runtime& runtime_;
  Informer& nodes_;
  Informer& pods_;
  LiveReader reader_;
  std::map<std::string, Duration> missing_;  // by node: since when pods name it and the cache lacks it
};

// --- Pods that have ended

const std::string kEnded = "ended";

void by_end(const Value& pod, std::vector<std::string>& keys) {
  if (api::is_pod_terminal(pod)) keys.push_back(kEnded);
}

class EndedController final : public Controller {
 public:
  EndedController(InformerSet& informers, PodGcConfig config) : config_(config), pods_(informers.get(kPods)) {
    pods_.add_index(kEnded, by_end);
  }
  std::string name() const override { return "ended-pods"; }
  std::string component() const override { return "pod-garbage-collector"; }

  std::vector<WatchedCollection> watches() override {
    std::vector<WatchedCollection> out;
    out.push_back(watch_mapped(pods_, [this](const Value& before, const Value& after, Keys& keys) {
      const bool ended =
          !after.is_null() && api::is_pod_terminal(after) && (before.is_null() || !api::is_pod_terminal(before));
      if (ended && pods_.count_by_index(kEnded, kEnded) > config_.ended_kept) keys.push_back(kEnded);
    }));
    return out;
  }

  Plan plan(const std::string&, Time) override {
    Plan plan = plan_ended(pods_.by_index(kEnded, kEnded), config_);
    plan.members = pods_.count_by_index(kEnded, kEnded);
    return plan;
  }
  Value object_of_key(const std::string&, const Informer&) const override { return {}; }

 private:
  PodGcConfig config_;
  Informer& pods_;
};

}  // namespace

std::unique_ptr<Controller> make_lost_controller(InformerSet& informers, PodGcConfig config) {
  return std::make_unique<LostController>(informers, config);
}
std::unique_ptr<Controller> make_ended_controller(InformerSet& informers, PodGcConfig config) {
  return std::make_unique<EndedController>(informers, config);
}

std::vector<std::unique_ptr<Controller>> make_controllers(InformerSet& informers, PodGcConfig config) {
  std::vector<std::unique_ptr<Controller>> out;
  out.push_back(make_lost_controller(informers, config));
  out.push_back(make_ended_controller(informers, config));
  return out;
}

}  // namespace berth::controllers::podgc
