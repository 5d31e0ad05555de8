// Steps for claims and their volumes.
#include <algorithm>

#include "base/text.h"
#include "controllers/shared/node_selector.h"
#include "controllers/shared/volume_match.h"
#include "why/explanation.h"

namespace berth::why {
namespace {

using namespace api::resources;  // NOLINT

constexpr std::string_view kInUse = "kubernetes.io/pvc-protection";

struct PodClaim {
  std::string name;
  bool ephemeral = false;
};

std::vector<PodClaim> claims_of(const Value& pod) {
  std::vector<PodClaim> out;
  for (const Value& volume : pod["spec"]["volumes"]) {
    if (const Value& source = volume["persistentVolumeClaim"]; !source.is_null()) {
      out.push_back({source["claimName"].str(), false});
    } else if (!volume["ephemeral"].is_null()) {
      out.push_back({std::string(api::name_of(pod)) + "-" + volume["name"].str(), true});
    }
  }
  return out;
}

// "node n1", "zone b": the nodes that the volume's node affinity allows.
std::string location_text(const Value& volume) {
  std::vector<std::string> words;
  for (const Value& term : volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]) {
    for (const char* field : {"matchExpressions", "matchFields"}) {
      for (const Value& one : term[field]) {
        std::vector<std::string> values;
        for (const Value& value : one["values"]) values.push_back(value.str());
        std::string_view key = one["key"].as_string();
        if (key == "kubernetes.io/hostname" || key == "metadata.name") key = "node";
        if (key == "topology.kubernetes.io/zone") key = "zone";
        const std::string op = one["operator"].str("In");
        words.push_back(std::string(key) + " " + (op == "In" ? "" : op + " ") + join(values, " or "));
      }
    }
  }
  return and_list(words);
}

class ClaimExplanation {
 public:
  ClaimExplanation(Explanation& explanation, const std::string& name, const Value& pod, bool ephemeral)
      : explanation_(explanation),
        name_(name),
        pod_(pod),
        ephemeral_(ephemeral),
        claim_(explanation.in_namespace(kPersistentVolumeClaims, name)) {}

  void explain(int depth) {
    const std::string phase = claim_["status"]["phase"].str("Pending");
    Line& line = explanation_.add(depth, Severity::kGood, "pvc/" + name_, phase);
    if (claim_.is_null()) return missing(line);
    if (ephemeral_ && !api::is_controlled_by(claim_, api::uid_of(pod_))) {
      line.severity = Severity::kBroken;
      line.why = "a claim of this name exists, but it was not made for the pod's ephemeral volume";
      line.hint = explanation_.kubectl("delete pvc " + name_);
      return;
    }
    if (phase == "Bound") bound(line, depth + 1);
    if (phase == "Pending") pending(line);
    if (phase == "Lost") {
      line.severity = Severity::kBroken;
      line.why = "its volume " + claim_["spec"]["volumeName"].str() + " is gone, and the data with it";
      line.hint = explanation_.kubectl("delete pvc " + name_ + "   (a new claim starts empty)");
    }
    if (api::is_terminating(claim_)) terminating(line);
  }

  bool waits_for_consumer() const { return waits_for_consumer_; }

 private:
  bool pod_has_node() const { return !pod_["spec"]["nodeName"].as_string().empty(); }
  bool pod_runs() const { return pod_["status"]["phase"].as_string() == "Running"; }

  void missing(Line& line) {
    line.severity = Severity::kBroken;
    line.state = "does not exist";
    line.why = ephemeral_ ? "the claim of the pod's ephemeral volume has not been made yet"
                          : "the pod asks for a claim that is not there";
    if (ephemeral_) {
      line.severity = Severity::kWaiting;
      return;
    }
    line.hint = "create it: " + explanation_.kubectl("apply -f FILE");
  }

  void terminating(Line& line) {
    line.state += ", Terminating";
    line.since = time_in(claim_["metadata"]["deletionTimestamp"]);
    const Value& finalizers = claim_["metadata"]["finalizers"];
    const bool only_in_use = finalizers.size() == 1 && finalizers[0].as_string() == kInUse;
    line.why = only_in_use ? "it is deleted as soon as no pod uses it any more"
                           : "it is being deleted; " + finalizer_text(claim_);
    // A running pod keeps its mount; a pod that starts may not get it.
    if (pod_runs() || is_pod_well(pod_)) {
      line.severity = std::max(line.severity, Severity::kNote);
      return;
    }
    line.severity = Severity::kBroken;
    line.hint = api::uid_of(pod_).empty() ? explanation_.kubectl("get pvc " + name_ + " -o yaml")
                                          : explanation_.kubectl("delete pod " + std::string(api::name_of(pod_))) +
                                                "   (then the claim goes, and can be made anew)";
  }

  // The message of the newest warning about the claim, or of its newest event.
  std::string event_text() {
    const std::vector<Value> events = explanation_.events_of(claim_);
    Value event = newest(events, is_warning);
    if (event.is_null()) event = newest(events, [](const Value&) { return true; });
    return shortened(event["message"].as_string());
  }

  void pending(Line& line) {
    line.severity = Severity::kWaiting;
    line.since = created_at(claim_);
    const std::string class_name(controllers::class_of(claim_));
    if (class_name.empty()) {
      line.severity = Severity::kBroken;
      const bool no_class = controllers::has_no_class(claim_);
      line.why = no_class ? "it names no storage class, and no class is the default one"
                          : "it wants no storage class, so a volume that fits has to be made by hand";
      if (const std::string event = event_text(); !event.empty()) line.why += " (" + event + ")";
      line.hint = no_class ? "kubectl get storageclass" : "create a PersistentVolume of " + wanted_size();
      return;
    }
    const Value storage_class = explanation_.in_cluster(kStorageClasses, class_name);
    if (storage_class.is_null()) {
      line.severity = Severity::kBroken;
      line.why = "there is no storage class " + class_name;
      line.hint = "kubectl get storageclass";
      return;
    }
    const bool waits = controllers::waits_for_consumer(storage_class);
    if (waits && api::annotation_of(claim_, controllers::kSelectedNode).empty() &&
        claim_["spec"]["volumeName"].as_string().empty()) {
      waits_for_consumer_ = true;
      line.severity = pod_.is_null() ? Severity::kWaiting : Severity::kNote;
      line.why =
          "its class " + class_name + " (WaitForFirstConsumer) makes the volume once a pod that uses it has a node";
      return;
    }
    if (const std::string expected = claim_["spec"]["volumeName"].str();
        !expected.empty() && explanation_.in_cluster(kPersistentVolumes, expected).is_null()) {
      line.severity = Severity::kBroken;
      line.why = "it asks for the volume " + expected + ", which does not exist";
      return;
    }
    const std::string event = event_text();
    line.why = "class " + class_name + " (" + storage_class["volumeBindingMode"].str("Immediate") +
               ") is to make a volume of " + wanted_size() + (event.empty() ? "" : "; it says: " + event);
    line.hint = explanation_.kubectl("describe pvc " + name_);
  }

  std::string wanted_size() const { return controllers::request_of(claim_).to_string(); }

  void bound(Line& line, int depth) {
    const std::string volume_name = claim_["spec"]["volumeName"].str();
    for (const Value& condition : claim_["status"]["conditions"]) {
      if (condition["status"].as_string() != "True") continue;
      // No pod waits for it; it is the answer only if the question is about the claim itself.
      line.severity = pod_.is_null() ? Severity::kWaiting : Severity::kNote;
      line.state += ", " + condition["type"].str();
      line.since = changed_at(condition);
      line.why = shortened(condition["message"].as_string());
      if (condition["type"].as_string() == "FileSystemResizePending")
        line.hint = explanation_.kubectl("describe pvc " + name_ + "   (Used By: the pods that are to be restarted)");
    }
    const Value volume = explanation_.in_cluster(kPersistentVolumes, volume_name);
    if (explanation_.incomplete()) return;
    const std::string size = volume["spec"]["capacity"]["storage"].str();
    Line& below = explanation_.add(depth, Severity::kGood, "pv/" + volume_name,
                                   size + (size.empty() ? "" : ", ") + volume["status"]["phase"].str("Pending"));
    if (volume.is_null()) {
      below.severity = Severity::kBroken;
      below.state = "does not exist";
      below.why = "the claim is bound to a volume that is gone";
      return;
    }
    if (const std::string location = location_text(volume); !location.empty()) below.why = "it lives on " + location;
    if (volume["status"]["phase"].as_string() == "Failed") {
      below.severity = Severity::kBroken;
      below.why = shortened(volume["status"]["message"].as_string());
    }
    check_location(volume, below);
  }

  // Checks that the pod's node, or any node for a pod without one, can use the volume.
  void check_location(const Value& volume, Line& line) {
    const Value& required = volume["spec"]["nodeAffinity"]["required"];
    if (required.is_null() || pod_.is_null()) return;
    if (pod_has_node()) {
      const std::string name = pod_["spec"]["nodeName"].str();
      const Value node = explanation_.in_cluster(kNodes, name);
      if (node.is_null() || controllers::matches_node_selector(required, node)) return;
      line.severity = Severity::kBroken;
      line.why += ", but the pod is on node " + name;
      line.hint = explanation_.kubectl("delete pod " + std::string(api::name_of(pod_)) +
                                       "   (the scheduler then looks for a node that fits)");
      return;
    }
    const std::vector<Value> nodes = explanation_.list_cluster(kNodes);
    if (std::any_of(nodes.begin(), nodes.end(),
                    [&](const Value& node) { return controllers::matches_node_selector(required, node); }))
      return;
    line.severity = Severity::kBroken;
    line.why += ", and there is no such node";
    line.hint = "kubectl get nodes --show-labels";
  }

  Explanation& explanation_;
  std::string name_;
  Value pod_;
  bool ephemeral_;
  Value claim_;
  bool waits_for_consumer_ = false;
};

}  // namespace

bool explain_claim(Explanation& explanation, const std::string& name, const Value& pod, bool ephemeral, int depth) {
  ClaimExplanation claim(explanation, name, pod, ephemeral);
  claim.explain(depth);
  return claim.waits_for_consumer();
}

void explain_claims_of(Explanation& explanation, const Value& pod, int depth) {
  for (const PodClaim& one : claims_of(pod)) explain_claim(explanation, one.name, pod, one.ephemeral, depth);
}

void explain_claim_and_user(Explanation& explanation, const Value& claim, int depth) {
  const std::string name(api::name_of(claim));
  const bool waits_for_consumer = explain_claim(explanation, name, Value(), false, depth);
  const bool settled = claim["status"]["phase"].as_string() == "Bound" && !api::is_terminating(claim);
  std::vector<Value> users;
  for (const Value& pod : explanation.list(kPods)) {
    if (api::is_pod_terminal(pod)) continue;
    for (const PodClaim& one : claims_of(pod)) {
      if (one.name == name) users.push_back(pod);
    }
  }
  if (explanation.incomplete()) return;
  if (users.empty()) {
    explanation.add(depth + 1, settled ? Severity::kGood : Severity::kNote, "users", "none").why = "no pod uses it";
    return;
  }
  for (const Value& pod : users) {
    if (waits_for_consumer) {
      explain_pod(explanation, pod, depth + 1);
      continue;
    }
    Line& line = explanation.add(depth + 1, Severity::kGood, "pod/" + std::string(api::name_of(pod)),
                                 pod["status"]["phase"].str("Pending"));
    line.why = settled ? "it uses the claim" : "it waits for the claim";
    if (!api::is_terminating(claim)) continue;
    line.severity = Severity::kWaiting;
    line.why = "the claim stays as long as this pod uses it";
    line.hint = explanation.kubectl("delete pod " + std::string(api::name_of(pod)));
  }
}

}  // namespace berth::why
