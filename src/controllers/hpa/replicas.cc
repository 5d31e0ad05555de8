#include "controllers/hpa/replicas.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "api/containers.h"
#include "api/object.h"
#include "api/quantity.h"
#include "api/resource_list.h"
#include "base/time/time.h"

namespace berth::controllers::hpa {
namespace {

constexpr Duration kStarting = 300s;       // CPU usage is not representative this early in a pod's life
constexpr Duration kFirstReadiness = 30s;  // a pod that became unready within this time was never ready

Time stamp_of(const Value& text) {
  Result<Time> time = parse_time(text.as_string());
  return time.ok() ? *time : Time();
}

std::optional<std::int64_t> milli_of(const Value& list, const std::string& name) {
  const api::ResourceList amounts = api::resource_list(list);
  auto at = amounts.find(name);
  if (at == amounts.end()) return std::nullopt;
  return at->second.milli_value();
}

using Names = std::set<std::string>;
struct PodGroups {
  int ready = 0;
  Names unready, missing, ignored;
};

bool is_unready(const Value& pod, const PodMetric& metric, Time now) {
  const Value& condition = api::condition_of(pod, "Ready");
  const Value& start = pod["status"]["startTime"];
  if (condition.is_null() || start.is_null()) return true;
  const bool says_no = condition["status"].as_string() == "False";
  const Time changed = stamp_of(condition["lastTransitionTime"]), started = stamp_of(start);
  if (started + kStarting > now) return says_no || metric.timestamp < changed + metric.window;
  return says_no && started + kFirstReadiness > changed;
}

PodGroups group_pods(const std::vector<Value>& pods, const PodMetrics& metrics, const std::string& resource, Time now) {
  PodGroups out;
  for (const Value& pod : pods) {
    const std::string name(api::name_of(pod));
    const std::string_view phase = pod["status"]["phase"].as_string();
    auto metric = metrics.find(name);
    if (api::is_terminating(pod) || phase == "Failed") {
      out.ignored.insert(name);
    } else if (phase == "Pending") {
      out.unready.insert(name);
    } else if (metric == metrics.end()) {
      out.missing.insert(name);
    } else if (resource == "cpu" && is_unready(pod, metric->second, now)) {
      out.unready.insert(name);
    } else {
      ++out.ready;
    }
  }
  return out;
}

// The request of each pod; fails for a container without request, because a percentage needs one.
Result<std::map<std::string, std::int64_t>> requests_of(const std::vector<Value>& pods, const Target& target) {
  std::map<std::string, std::int64_t> out;
  for (const Value& pod : pods) {
    const std::string name(api::name_of(pod));
    if (target.container.empty()) {
      if (auto whole = milli_of(pod["spec"]["resources"]["requests"], target.resource)) {
        out[name] = *whole;
        continue;
      }
    }
    std::int64_t sum = 0;
    bool found = false;
    auto add = [&](const Value& container) -> Status {
      if (!target.container.empty() && container["name"].as_string() != target.container) return ok_status();
      found = true;
      auto request = milli_of(container["resources"]["requests"], target.resource);
      if (!request) {
        return error(Code::kInvalid, "missing request for " + target.resource + " in container " +
                                         container["name"].str() + " of Pod " + name);
      }
      sum += *request;
      return ok_status();
    };
    for (const Value& container : pod["spec"]["containers"]) BERTH_TRY(add(container));
    for (const Value& container : pod["spec"]["initContainers"]) {
      if (api::is_sidecar(container)) BERTH_TRY(add(container));
    }
    if (!found && !target.container.empty()) {
      return error(Code::kInvalid, "container " + target.container + " not found in Pod " + name);
    }
    out[name] = sum;
  }
  return out;
}

// The measured value in relation to the target.
struct Ratio {
  double ratio = 0;
  std::int64_t utilization = 0, average_milli = 0;
};
using Requests = std::map<std::string, std::int64_t>;

Result<Ratio> ratio_of(const PodMetrics& metrics, const Requests& requests, const Target& target) {
  Ratio out;
  std::int64_t used = 0, requested = 0, count = 0;
  for (const auto& [name, metric] : metrics) {
    if (target.utilization) {
      auto request = requests.find(name);
      if (request == requests.end()) continue;
      requested += request->second;
    }
    used += metric.milli;
    ++count;
  }
  if (count == 0 || (target.utilization && requested == 0))
    return error(Code::kInvalid, "no metrics returned matched known pods");
  out.average_milli = used / count;
  if (target.utilization) {
    out.utilization = used * 100 / requested;
    out.ratio = static_cast<double>(out.utilization) / static_cast<double>(*target.utilization);
  } else {
    out.ratio = static_cast<double>(out.average_milli) / static_cast<double>(*target.average_milli);
  }
  return out;
}

// The usage assumed for a pod without metrics when scaling down.
std::int64_t assumed(const std::string& pod, const Requests& requests, const Target& target) {
  if (!target.utilization) return *target.average_milli;
  auto request = requests.find(pod);
  return request == requests.end() ? 0 : request->second * std::max<std::int64_t>(100, *target.utilization) / 100;
}

}  // namespace

Result<PodMetrics> metrics_of(const std::vector<Value>& measured, const std::vector<Value>& pods,
                              const std::string& resource, const std::string& container) {
  Names desired;
  for (const Value& pod : pods) desired.emplace(api::name_of(pod));
  PodMetrics out;
  for (const Value& one : measured) {
    const std::string name(api::name_of(one));
    if (!desired.contains(name)) continue;
    PodMetric metric{stamp_of(one["timestamp"]), {}, 0};
    if (Result<Duration> window = parse_duration(one["window"].as_string()); window.ok()) metric.window = *window;
    bool found = false, complete = true;
    for (const Value& part : one["containers"]) {
      if (!container.empty() && part["name"].as_string() != container) continue;
      found = true;
      auto usage = milli_of(part["usage"], resource);
      complete = complete && usage.has_value();
      metric.milli += usage.value_or(0);
    }
    if (!container.empty() && !found) {
      return error(Code::kInvalid, "container " + container + " not present in metrics for pod " +
                                       std::string(api::namespace_of(one)) + "/" + name);
    }
    if (complete) out[name] = metric;
  }
  if (out.empty()) return error(Code::kInvalid, "no metrics returned from resource metrics API");
  return out;
}

Result<Proposal> replicas_for(const Target& target, int current, const std::vector<Value>& pods, PodMetrics metrics,
                              const Tolerance& tolerance, Time now) {
  if (pods.empty()) return error(Code::kInvalid, "no pods returned by selector while calculating replica count");
  const PodGroups groups = group_pods(pods, metrics, target.resource, now);
  for (const Names* names : {&groups.ignored, &groups.unready}) {
    for (const std::string& name : *names) metrics.erase(name);
  }
  Requests requests;
  if (target.utilization) {
    BERTH_ASSIGN(requests, requests_of(pods, target));
  }
  if (metrics.empty())
    return error(Code::kInvalid, "did not receive metrics for targeted pods (pods might be unready)");
  BERTH_ASSIGN(const Ratio measured, ratio_of(metrics, requests, target));
  Proposal out{current, measured.utilization, measured.average_milli};

  const bool up_with_unready = !groups.unready.empty() && measured.ratio > 1.0;
  if (!up_with_unready && groups.missing.empty()) {
    if (!tolerance.allows(measured.ratio)) out.replicas = static_cast<int>(std::ceil(measured.ratio * groups.ready));
    return out;
  }
  // Pods without metrics are assumed to use what counteracts the change.
  if (measured.ratio < 1.0) {
    for (const std::string& name : groups.missing) metrics[name].milli = assumed(name, requests, target);
  } else if (measured.ratio > 1.0) {
    for (const std::string& name : groups.missing) metrics[name].milli = 0;
  }
  if (up_with_unready) {
    for (const std::string& name : groups.unready) metrics[name].milli = 0;
  }
  BERTH_ASSIGN(const Ratio cautious, ratio_of(metrics, requests, target));
  const bool turned = (measured.ratio < 1.0 && cautious.ratio > 1.0) || (measured.ratio > 1.0 && cautious.ratio < 1.0);
  if (tolerance.allows(cautious.ratio) || turned) return out;
  const int proposed = static_cast<int>(std::ceil(cautious.ratio * static_cast<double>(metrics.size())));
  const bool wrong_way = (cautious.ratio < 1.0 && proposed > current) || (cautious.ratio > 1.0 && proposed < current);
  if (!wrong_way) out.replicas = proposed;
  return out;
}

}  // namespace berth::controllers::hpa
