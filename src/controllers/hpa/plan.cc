#include "controllers/hpa/plan.h"

#include <algorithm>

#include "api/quantity.h"
#include "base/text.h"
#include "base/time/time.h"
#include "controllers/shared/numbers.h"

namespace berth::controllers::hpa {
namespace {

using api::resources::kHorizontalPodAutoscalers;

constexpr const char* kAble = "AbleToScale";
constexpr const char* kActive = "ScalingActive";
constexpr const char* kLimited = "ScalingLimited";

int replicas_of(const Value& target) { return count_in(target["spec"]["replicas"], 1); }
ReplicaBounds bounds_of(const Value& hpa) {
  return {count_in(hpa["spec"]["minReplicas"], 1), count_in(hpa["spec"]["maxReplicas"], 1)};
}

// The result of one metric: a number of replicas and the measured value, or the failure.
struct MetricResult {
  Result<int> replicas = error(Code::kInvalid, "");
  std::string name;    // "cpu resource utilization (percentage of request)"
  Value status;        // an element of status.currentMetrics
  std::string reason;  // of a failure: reason of condition and event
  std::string detail;  // of a failure: their message
};

// Computes the plan of one sync.
class HpaPlanner {
 public:
  HpaPlanner(const HpaView& view, ScalingHistory& history, Time now)
      : view_(view), hpa_(view.hpa), history_(history), now_(now), conditions_(view.hpa["status"]["conditions"]) {}

  Plan run() {
    plan_.requeue_after(kPeriod);
    if (view_.target.is_null()) {
      plan_.event(hpa_, kWarning, "FailedGetScale", view_.target_problem);
      say(kAble, false, "FailedGetScale",
          "the HPA controller was unable to get the target's current scale: " + view_.target_problem);
      write(hpa_["status"]["currentReplicas"].as_int(), hpa_["status"]["desiredReplicas"].as_int(),
            hpa_["status"]["currentMetrics"]);
      return std::move(plan_);
    }
    say(kAble, true, "SucceededGetScale", "the HPA controller was able to get the target's current scale");
    const int current = replicas_of(view_.target);
    const ReplicaBounds bounds = bounds_of(hpa_);
    if (history_.attempt && history_.attempt->after == current) {
      record_scaling(hpa_["spec"]["behavior"], history_.attempt->before, current, history_, history_.attempt->at);
    }
    history_.attempt.reset();
    if (history_.recommendations.empty()) history_.recommendations.push_back({now_, current});
    if (current == 0 && bounds.least != 0) {
      say(kActive, false, "ScalingDisabled", "scaling is disabled since the replica count of the target is zero");
      write(current, current, Value::array());
    } else if (current > bounds.most) {
      rescale(current, bounds.most, "Current number of replicas above Spec.MaxReplicas", Value::array());
    } else if (current < bounds.least) {
      rescale(current, bounds.least, "Current number of replicas below Spec.MinReplicas", Value::array());
    } else {
      follow_metrics(current, bounds);
    }
    return std::move(plan_);
  }

 private:
  void say(const char* type, bool holds, const std::string& reason, const std::string& message) {
    api::set_condition(conditions_, type, holds ? "True" : "False", reason, message, now_);
  }

  void follow_metrics(int current, const ReplicaBounds& bounds) {
    std::string name;
    Value statuses = Value::array();
    Result<int> desired = desired_replicas(current, name, statuses);
    if (!desired.ok()) {
      plan_.event(hpa_, kWarning, "FailedComputeMetricsReplicas", desired.error().message);
      return write(current, hpa_["status"]["desiredReplicas"].as_int(), statuses);
    }
    std::string reason;
    if (*desired > current) reason = name + " above target";
    if (*desired < current) reason = "All metrics below target";
    const LimitedReplicas limited = limit(hpa_["spec"]["behavior"], bounds, current, *desired, history_, now_);
    say(kAble, true, limited.able_reason, limited.able_message);
    say(kLimited, limited.limited, limited.reason, limited.message);
    if (limited.replicas == current) return write(current, current, statuses);
    rescale(current, limited.replicas, reason, statuses);
  }

  // The largest number that any metric requires.
  Result<int> desired_replicas(int current, std::string& name, Value& statuses) {
    BERTH_TRY(check_selector());
    const Value& specs = hpa_["spec"]["metrics"];
    std::optional<int> most;
    std::size_t failures = 0;
    MetricResult first_failure;
    for (const Value& spec : specs) {
      MetricResult answer = evaluate(spec, current);
      statuses.push(answer.status.is_null() ? Value::object({{"type", ""}}) : answer.status);
      if (!answer.replicas.ok()) {
        plan_.event(hpa_, kWarning, answer.reason, answer.detail);
        if (failures++ == 0) first_failure = std::move(answer);
      } else if (!most || *answer.replicas > *most) {
        most = *answer.replicas;
        name = answer.name;
      }
    }
    // If a metric is missing, do not scale down: it might require more.
    if (failures > 0 && (!most || *most < current)) {
      say(kActive, false, first_failure.reason,
          "the HPA was unable to compute the replica count: " + first_failure.detail);
      return error(Code::kInvalid, "invalid metrics (" + std::to_string(failures) + " invalid out of " +
                                       std::to_string(specs.size()) +
                                       "), first error is: " + first_failure.replicas.error().message);
    }
    say(kActive, true, "ValidMetricFound", "the HPA was able to successfully calculate a replica count from " + name);
    return most.value_or(current);
  }

  Status check_selector() {
    auto refuse = [&](const char* event, const char* condition, const std::string& text, const std::string& shown) {
      plan_.event(hpa_, kWarning, event, text);
      say(kActive, false, condition, shown);
      return error(Code::kInvalid, text);
    };
    if (view_.selector.empty())
      return refuse("SelectorRequired", "InvalidSelector", "selector is required",
                    "the HPA target's scale is missing a selector");
    if (view_.competing.size() > 1) {
      const std::string text = "pods by selector " + view_.selector + " are controlled by multiple HPAs: [" +
                               join(view_.competing, " ") + "]";
      return refuse("AmbiguousSelector", "AmbiguousSelector", text, text);
    }
    return ok_status();
  }

  MetricResult evaluate(const Value& spec, int current) const {
    const std::string type = spec["type"].str();
    if (type == "Resource") return evaluate_resource(spec["resource"], false, current);
    if (type == "ContainerResource") return evaluate_resource(spec["containerResource"], true, current);
    return unavailable(spec, type);
  }

  // No metrics API for these types is served.
  MetricResult unavailable(const Value& spec, const std::string& type) const {
    MetricResult out;
    const std::string ns(api::namespace_of(hpa_));
    const std::string no_custom =
        "unable to fetch metrics from custom metrics API: no custom metrics API (custom.metrics.k8s.io) registered";
    if (type == "Pods") {
      out.reason = "FailedGetPodsMetric";
      out.detail = "unable to get metric " + spec["pods"]["metric"]["name"].str() + ": " + no_custom;
      out.replicas = error(Code::kInvalid, "failed to get pods metric value: " + out.detail);
    } else if (type == "Object") {
      const Value& object = spec["object"]["describedObject"];
      out.reason = "FailedGetObjectMetric";
      out.detail = "unable to get metric " + spec["object"]["metric"]["name"].str() + ": " + object["kind"].str() +
                   " on " + ns + " " + object["name"].str() + "/" + no_custom;
      out.replicas = error(Code::kInvalid, "failed to get object metric value: " + out.detail);
    } else if (type == "External") {
      const std::string name = spec["external"]["metric"]["name"].str();
      const Value& selector = spec["external"]["metric"]["selector"];
      out.reason = "FailedGetExternalMetric";
      out.detail =
          "unable to get external metric " + ns + "/" + name + "/" +
          (selector.is_null() ? "nil" : json::encode(selector)) +
          ": unable to fetch metrics from external metrics API: no external metrics API (external.metrics.k8s.io) registered";
      out.replicas = error(Code::kInvalid, "failed to get " + name + " external metric value: " + out.detail);
    } else {
      out.reason = "InvalidMetricSourceType";
      out.detail = "unknown metric source type " + quoted(type);
      out.replicas = error(Code::kInvalid, out.detail);
    }
    return out;
  }

  Tolerance tolerance() const {
    Tolerance out;
    auto given = [&](const char* direction, double& into) {
      const Value& text = hpa_["spec"]["behavior"][direction]["tolerance"];
      if (Result<api::Quantity> quantity = api::Quantity::parse(text.as_string()); quantity.ok() && text.is_string())
        into = quantity->as_double();
    };
    given("scaleUp", out.up);
    given("scaleDown", out.down);
    return out;
  }

  MetricResult evaluate_resource(const Value& source, bool of_container, int current) const {
    MetricResult out;
    Target target;
    target.resource = source["name"].str();
    if (of_container) target.container = source["container"].str();
    const Value& desired = source["target"];
    if (Result<api::Quantity> average = api::Quantity::parse(desired["averageValue"].as_string());
        average.ok() && desired["averageValue"].is_string()) {
      target.average_milli = average->milli_value();
      out.name = target.resource + " resource";
    } else if (desired["averageUtilization"].is_int()) {
      target.utilization = desired["averageUtilization"].as_int();
      out.name = target.resource + (of_container ? " container" : "") + " resource utilization (percentage of request)";
    }
    Result<Proposal> proposal = propose(target, current);
    if (!proposal.ok()) {
      out.reason = of_container ? "FailedGetContainerResourceMetric" : "FailedGetResourceMetric";
      out.detail = proposal.error().message;
      out.replicas =
          error(Code::kInvalid, "failed to get " + target.resource + (of_container ? " container" : " resource") +
                                    " metric value: " + out.detail);
      return out;
    }
    out.replicas = proposal->replicas;
    Value found = Value::object({{"averageValue", api::Quantity::of_milli(proposal->average_milli).to_string()}});
    if (target.utilization) found.set("averageUtilization", proposal->utilization);
    Value status = Value::object({{"name", target.resource}, {"current", std::move(found)}});
    if (of_container) status.set("container", target.container);
    out.status = Value::object({{"type", of_container ? "ContainerResource" : "Resource"},
                                {of_container ? "containerResource" : "resource", std::move(status)}});
    return out;
  }

  Result<Proposal> propose(const Target& target, int current) const {
    if (!target.utilization && !target.average_milli) {
      return error(
          Code::kInvalid,
          "invalid resource metric source: neither an average utilization target nor an average value (usage) target was set");
    }
    const std::string doing = "failed to get " + target.resource + (target.utilization ? " utilization" : " usage");
    const std::string asking = doing + ": unable to get metrics for resource " + target.resource;
    if (!view_.measured.ok())
      return view_.measured.error().in("unable to fetch metrics from resource metrics API").in(asking);
    Result<PodMetrics> metrics = metrics_of(*view_.measured, view_.pods, target.resource, target.container);
    if (!metrics.ok()) return metrics.error().in(asking);
    Result<Proposal> proposal = replicas_for(target, current, view_.pods, std::move(*metrics), tolerance(), now_);
    if (!proposal.ok()) return proposal.error().in(doing);
    return proposal;
  }

  void rescale(int current, int desired, const std::string& reason, const Value& statuses) {
    Action scale = patch(view_.target_resource, view_.target, api::PatchType::kMerge,
                         Value::object({{"spec", Value::object({{"replicas", desired}})}}), true);
    scale.subresource = "scale";
    const std::string text = "New size: " + std::to_string(desired) + "; reason: " + reason;
    scale.succeeded(hpa_, kNormal, "SuccessfulRescale", text);
    scale.failed(hpa_, kWarning, "FailedRescale", text + "; error: ");
    plan_.add(std::move(scale));
    history_.attempt = ScalingHistory::Attempt{now_, current, desired};
    const Value before = conditions_;
    say(kAble, false, "FailedUpdateScale", "the HPA controller was unable to update the target scale");
    put(plan_.otherwise, status_of(current, hpa_["status"]["desiredReplicas"].as_int(), statuses));
    conditions_ = before;
    say(kAble, true, "SucceededRescale",
        "the HPA controller was able to update the target scale to " + std::to_string(desired));
    put(plan_.then, status_of(current, desired, statuses).set("lastScaleTime", format_time(now_)));
  }

  Value status_of(std::int64_t current, std::int64_t desired, const Value& statuses) const {
    Value out =
        Value::object({{"currentReplicas", current}, {"desiredReplicas", desired}, {"conditions", conditions_}});
    out.set("currentMetrics", statuses.empty() ? Value() : statuses);
    const Value& scaled = hpa_["status"]["lastScaleTime"];
    if (!scaled.is_null()) out.set("lastScaleTime", scaled);
    return out;
  }

  // Writes changed fields only; null removes a field.
  void put(std::vector<Action>& actions, const Value& status) const {
    Value change = Value::object();
    for (auto [field, value] : status.entries()) {
      const Value& present = hpa_["status"][field];
      const bool nothing = (value.is_null() || (value.is_int() && value.as_int() == 0)) && present.is_null();
      if (!nothing && value != present) change.set(field, value);
    }
    if (!change.empty())
      actions.push_back(patch_status(kHorizontalPodAutoscalers, hpa_, Value::object({{"status", std::move(change)}})));
  }
  void write(std::int64_t current, std::int64_t desired, const Value& statuses) {
    put(plan_.then, status_of(current, desired, statuses));
  }

  const HpaView& view_;
  const Value& hpa_;
  ScalingHistory& history_;
  const Time now_;
  Value conditions_;
  Plan plan_;
};

}  // namespace

bool needs_metrics(const HpaView& view) {
  if (view.hpa.is_null() || view.target.is_null() || view.selector.empty() || view.competing.size() > 1) return false;
  const int current = replicas_of(view.target);
  const ReplicaBounds bounds = bounds_of(view.hpa);
  if (current == 0 || current > bounds.most || current < bounds.least) return false;
  const Value& metrics = view.hpa["spec"]["metrics"];
  return std::any_of(metrics.begin(), metrics.end(), [](const Value& metric) {
    return metric["type"].as_string() == "Resource" || metric["type"].as_string() == "ContainerResource";
  });
}

Plan plan_autoscaler(const HpaView& view, ScalingHistory& history, Time now) {
  if (view.hpa.is_null() || api::is_terminating(view.hpa)) return {};
  return HpaPlanner(view, history, now).run();
}

}  // namespace berth::controllers::hpa
