// Steps for nodes, and for pods without a node.
#include <algorithm>

#include "api/quantity.h"
#include "base/text.h"
#include "controllers/shared/taints.h"
#include "why/explanation.h"

namespace berth::why {
namespace {

using namespace api::resources;  // NOLINT

constexpr std::size_t kMostNodes = 4;
constexpr Duration kSilence = 40s;  // a Lease is renewed every ten seconds

std::string taint_text(const Value& taint) {
  std::string out = taint["key"].str();
  if (const std::string_view value = taint["value"].as_string(); !value.empty()) out += "=" + std::string(value);
  return out + ":" + taint["effect"].str();
}

// When spec.unschedulable was last written, from managedFields.
std::optional<Time> cordoned_at(const Value& node) {
  std::optional<Time> at;
  for (const Value& entry : node["metadata"]["managedFields"]) {
    const auto time = time_in(entry["time"]);
    if (entry["fieldsV1"]["f:spec"].contains("f:unschedulable") && time && (!at || *at < *time)) at = time;
  }
  return at;
}

// True for taints that users set: those of the node controllers follow from conditions and the cordon, which are
// reported.
bool is_user_taint(const Value& taint) { return !taint["key"].as_string().starts_with("node.kubernetes.io/"); }

// The first taint that a pod with those tolerations does not tolerate, or null.
Value untolerated_taint(const Value& node, const Value& tolerations) {
  for (const Value& taint : node["spec"]["taints"]) {
    if (taint["effect"].as_string() == "PreferNoSchedule" || !is_user_taint(taint)) continue;
    if (!controllers::tolerated(tolerations, taint)) return taint;
  }
  return {};
}

// The Ready condition, which the node controller maintains, decides whether a node is well; the Lease only tells since
// when it is silent. The Lease alone is not sufficient: if the server was killed shortly after a renewal, the store has
// an older one.
void explain_lease(Explanation& explanation, const std::string& name, Line& line) {
  const Value lease = explanation.in_cluster(kLeases, name, "kube-node-lease");
  const auto renewed = time_in(lease["spec"]["renewTime"]);
  if (!renewed) return;
  const bool ready = line.severity < Severity::kBroken, old = *renewed + kSilence < explanation.now();
  if (!line.why.empty()) line.why += "; ";
  if (ready && old) {
    line.why += "its Lease was renewed " + explanation.ago(*renewed) + ", and the node controller counts it as Ready";
    return;
  }
  line.why += "its agent was last heard of " + explanation.ago(*renewed);
  if (!old) return;
  line.state = "silent";
  line.since = renewed;
}

// --- Scheduling

// The sum of the containers' requests of a resource.
std::string requested_amount(const Value& pod, std::string_view resource) {
  api::Quantity sum;
  for (const Value& container : pod["spec"]["containers"]) {
    const Value& amount = container["resources"]["requests"][resource];
    Result<api::Quantity> one = api::Quantity::parse(amount.is_string() ? amount.str() : json::encode(amount));
    if (one.ok()) sum = sum == api::Quantity() ? *one : sum + *one;
  }
  return sum.to_string();
}

// Cuts "0/1 nodes are available: 1 Insufficient cpu" from the message: the part about preemption is not the cause.
std::string scheduler_message(const Value& condition) {
  const std::string_view message = condition["message"].as_string();
  return std::string(cut(message, ". ").before);
}

std::string resource_lacking(const std::string& message) {
  const Cut found = cut(message, "Insufficient ");
  if (!found.found) return "";
  std::string_view name = found.after;
  return std::string(name.substr(0, name.find_first_of(", .")));
}

void explain_obstacle(Explanation& explanation, const Value& pod, const std::string& message, Line& line) {
  const std::string name(api::name_of(pod));
  auto says = [&](std::string_view words) { return message.find(words) != std::string::npos; };
  if (const std::string resource = resource_lacking(message); !resource.empty()) {
    line.why = "it asks for " + requested_amount(pod, resource) + " " + resource +
               ", and no node has that much left; " + line.why;
    line.hint =
        "ask for less (resources.requests." + resource + "), or make room: " + explanation.kubectl("describe nodes");
  } else if (says("Too many pods")) {
    line.hint = "make room: " + explanation.kubectl("get pods -A -o wide");
  } else if (says("node affinity/selector")) {
    line.why = "no node has the labels that its nodeSelector or node affinity asks for; " + line.why;
    line.hint = explanation.kubectl("get nodes --show-labels");
  } else if (says("ReadWriteOncePod")) {
    line.why = "another pod uses its claim, which only one at a time may (ReadWriteOncePod); " + line.why;
    line.hint = "end that pod; `Used By` names it: " + explanation.kubectl("describe pvc");
  } else if (says("topology spread constraints")) {
    line.why = "on every node it would lie too unevenly for its topologySpreadConstraints; " + line.why;
    line.hint = "more nodes, or whenUnsatisfiable: ScheduleAnyway; " + explanation.kubectl("get pods -o wide");
  } else if (says("affinity rules")) {
    line.why = "the pods that run on the nodes keep it away by its affinity or theirs; " + line.why;
    line.hint = explanation.kubectl("get pods -A -o wide --show-labels");
  } else if (says("free ports")) {
    line.hint = "another pod has the host port; see " + explanation.kubectl("get pods -A -o wide");
  } else if (says("no nodes available")) {
    line.why = "there is no node; " + line.why;
    line.hint = "berth status";
  } else if (says("unschedulable") && !says("taint")) {
    line.why = "every node that would do is cordoned; " + line.why;
  }
}

// The cluster's nodes. If a resource is short they are notes, with their amount of it.
void explain_candidates(Explanation& explanation, const Value& pod, const std::string& lacking, int depth) {
  const std::vector<Value> nodes = explanation.list_cluster(kNodes);
  for (std::size_t i = 0; i < nodes.size() && i < kMostNodes; ++i) {
    Line& line = explain_node(explanation, std::string(api::name_of(nodes[i])), pod,
                              lacking.empty() ? Severity::kWaiting : Severity::kNote, depth);
    if (!lacking.empty() && line.severity < Severity::kWaiting) {
      const std::string all = nodes[i]["status"]["allocatable"][lacking].str("0");
      line.why = "it has " + all + " " + lacking + " for all its pods" +
                 (line.severity == Severity::kNote ? "; " + line.why : "");
    }
  }
  if (nodes.size() > kMostNodes) {
    explanation.add(depth, Severity::kNote, counted(static_cast<std::int64_t>(nodes.size() - kMostNodes), "more node"),
                    "not shown");
  }
}

}  // namespace

void explain_scheduling(Explanation& explanation, const Value& pod, int depth) {
  const Value& condition = api::condition_of(pod, "PodScheduled");
  const auto changed = changed_at(condition);
  Line& line =
      explanation.add(depth, Severity::kWaiting, "scheduling", "no node yet", changed ? changed : created_at(pod));
  const std::string scheduler = pod["spec"]["schedulerName"].str("default-scheduler");
  if (!pod["spec"]["schedulingGates"].empty()) {
    std::vector<std::string> gates;
    for (const Value& gate : pod["spec"]["schedulingGates"]) gates.push_back(gate["name"].str());
    line.severity = Severity::kBroken;
    line.state = "SchedulingGated";
    line.why = "whoever set the scheduling " + std::string(gates.size() == 1 ? "gate " : "gates ") + and_list(gates) +
               " has to remove " + (gates.size() == 1 ? "it" : "them");
    line.hint = explanation.kubectl("edit pod " + std::string(api::name_of(pod)));
    return;
  }
  if (condition["status"].as_string() != "False") {
    line.why = scheduler == "default-scheduler" ? "the scheduler has not looked at it yet"
                                                : "it waits for the scheduler " + quoted(scheduler);
    return;
  }
  if (const std::string nominated = pod["status"]["nominatedNodeName"].str(); !nominated.empty()) {
    line.state = "nominated";
    line.why = "pods of lower priority are leaving node " + nominated + " to make room for it";
    explain_node(explanation, nominated, pod, Severity::kNote, depth + 1);
    return;
  }
  const std::string message = scheduler_message(condition);
  line.severity = Severity::kBroken;
  line.state = condition["reason"].str("Unschedulable");
  line.why = "the scheduler says: " + shortened(message);
  explain_obstacle(explanation, pod, message, line);
  explain_claims_of(explanation, pod, depth + 1);
  explain_candidates(explanation, pod, resource_lacking(message), depth + 1);
}

Line& explain_node(Explanation& explanation, const std::string& name, const Value& pod, Severity obstacle, int depth) {
  const Value node = explanation.in_cluster(kNodes, name);
  Line& line = explanation.add(depth, Severity::kGood, "node/" + name, "Ready");
  if (node.is_null()) {
    line.severity = Severity::kBroken;
    line.state = "does not exist";
    line.why = "there is no such node any more, and nobody looks after its pods";
    line.hint = explanation.kubectl("delete pod " + std::string(api::name_of(pod)) + " --grace-period=0 --force");
    return line;
  }
  const Value& ready = api::condition_of(node, "Ready");
  line.since = changed_at(ready);
  if (ready["status"].as_string() != "True") {
    line.severity = Severity::kBroken;
    line.state = ready["status"].as_string() == "Unknown" ? "unreachable" : "not ready";
    line.why = shortened(ready["message"].as_string());
    line.hint = "berth status";
  }
  explain_lease(explanation, name, line);
  for (const char* pressure : {"MemoryPressure", "DiskPressure", "PIDPressure"}) {
    if (!api::condition_is_true(node, pressure)) continue;
    line.state += std::string(", ") + pressure;
    line.severity = std::max(line.severity, Severity::kNote);
  }
  // The time since Ready is not the time since which the pod waits.
  const bool well = line.severity < Severity::kBroken;
  if (node["spec"]["unschedulable"].as_bool()) {
    if (well) line.since = cordoned_at(node);
    line.state += ", cordoned";
    line.severity = std::max(line.severity, obstacle);
    static const std::string kCordoned = "it is cordoned, so no new pods go there";
    if (line.why.empty()) {
      line.why = kCordoned;
    } else {
      line.why = line.severity == Severity::kBroken ? line.why + "; " + kCordoned : kCordoned + "; " + line.why;
    }
    if (line.hint.empty()) line.hint = "kubectl uncordon " + name;
  }
  const Value taint = untolerated_taint(node, pod["spec"]["tolerations"]);
  if (!taint.is_null()) {
    if (well) line.since = time_in(taint["timeAdded"]);
    line.state += ", tainted";
    line.severity = std::max(line.severity, obstacle);
    line.why = "the pod does not tolerate " + taint_text(taint) + (line.why.empty() ? "" : "; " + line.why);
    if (line.hint.empty()) line.hint = "kubectl taint nodes " + name + " " + taint_text(taint) + "-";
  }
  return line;
}

}  // namespace berth::why
