#include "why/why.h"

#include "api/status.h"
#include "base/text.h"
#include "controllers/shared/set_identity.h"
#include "why/explanation.h"

namespace berth::why {
namespace {

using namespace api::resources;  // NOLINT

struct ReportedKind {
  const char* name;  // in reports
  std::vector<std::string_view> words;
  api::Resource resource;
  void (*explain)(Explanation& explanation, const Value& object, int depth);
};

const std::vector<ReportedKind>& kinds() {
  static const std::vector<ReportedKind> kAll = {
      {"statefulset", {"sts", "statefulset", "statefulsets"}, kStatefulSets, explain_set},
      {"deployment", {"deploy", "deployment", "deployments"}, kDeployments, explain_deployment},
      {"replicaset", {"rs", "replicaset", "replicasets"}, kReplicaSets, explain_replica_set},
      {"daemonset", {"ds", "daemonset", "daemonsets"}, kDaemonSets, explain_daemon_set},
      {"job", {"job", "jobs"}, {"batch", "v1", "jobs"}, explain_job},
      {"pod", {"po", "pod", "pods"}, kPods, explain_pod},
      {"pvc",
       {"pvc", "persistentvolumeclaim", "persistentvolumeclaims"},
       kPersistentVolumeClaims,
       explain_claim_and_user},
  };
  return kAll;
}

// A pod that does not exist: explains the replica of a StatefulSet if the name is one's.
bool explain_missing_member(Explanation& explanation, const std::string& name, ObjectSource& source) {
  const controllers::MemberName member = controllers::parse_member_name(name);
  if (member.ordinal < 0) return false;
  const Value set = source.object(kStatefulSets, {explanation.ns(), std::string(member.parent)});
  if (set.is_null()) return false;
  explain_set_replica(explanation, set, member.ordinal, 0);
  return true;
}

}  // namespace

const Line* WhyReport::cause() const {
  if (!waiting()) return nullptr;
  const Line* at = &lines.front();
  std::size_t from = 1;
  while (true) {
    const Line* next = nullptr;
    std::size_t next_from = 0;
    for (std::size_t i = from; i < lines.size() && lines[i].depth > at->depth; ++i) {
      const Line& line = lines[i];
      if (line.depth != at->depth + 1 || line.severity < Severity::kWaiting ||
          (next && line.severity <= next->severity))
        continue;
      next = &line;
      next_from = i + 1;
    }
    if (!next) return at;
    at = next;
    from = next_from;
  }
}

std::string WhyReport::summary(Time now) const {
  const Line* last = cause();
  if (!last) return lines.empty() ? "" : lines.front().object + " waits for nothing";
  // The path from the first line to the cause: going backwards from the cause, each line with a smaller depth.
  std::vector<std::string> path;
  int depth = last->depth + 1;
  bool found = false;
  for (auto line = lines.rbegin(); line != lines.rend(); ++line) {
    found = found || &*line == last;
    if (!found || line->depth >= depth) continue;
    depth = line->depth;
    path.insert(path.begin(), line->object);
  }
  std::string out = path.front();
  if (path.size() > 1) {
    path.erase(path.begin());
    out += " waits for " + join(path, ", ");
  }
  if (last->since && *last->since <= now) out += " (for " + human_duration(now - *last->since) + ")";
  return out + ": " + (last->why.empty() ? last->state : last->why);
}

Result<api::Resource> resource_named(std::string_view word) {
  const std::string name = lower(word);
  const Cut parts = cut(name, ".");  // "statefulset.apps", as `kubectl -o name` prints
  for (const ReportedKind& kind : kinds()) {
    if (std::find(kind.words.begin(), kind.words.end(), parts.before) == kind.words.end()) continue;
    const api::Resource& resource = kind.resource;
    if (!parts.found || parts.after == resource.group || parts.after == resource.version + "." + resource.group)
      return resource;
  }
  if (name == "svc" || name == "service" || name == "services") {
    return error(
        Code::kInvalid,
        "a Service waits for nothing: DNS gives its ClusterIP, or the addresses of its ready pods where it is headless "
        "(clusterIP: None); this cluster forwards no traffic to a ClusterIP but that of `kubernetes` and of DNS. "
        "Ask about what runs its pods, such as deploy/NAME; kubectl get endpointslices shows those that are ready");
  }
  std::vector<std::string> known;
  for (const ReportedKind& kind : kinds()) known.emplace_back(kind.words.front());
  return error(Code::kInvalid, quoted(word) + " cannot be asked about; what can is: " + join(known, ", "));
}

Result<WhyReport> explain(const Question& question, ObjectSource& source, Time now) {
  Explanation explanation(question, source, now);
  const Value object = source.object(question.resource, question.name);
  if (!object.is_null()) {
    for (const ReportedKind& kind : kinds()) {
      if (kind.resource == question.resource) kind.explain(explanation, object, 0);
    }
    return explanation.finish();
  }
  if (source.complete() && question.resource == kPods &&
      explain_missing_member(explanation, question.name.name, source))
    return explanation.finish();
  return api::not_found(question.resource, question.name.name);
}

}  // namespace berth::why
