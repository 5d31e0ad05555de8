// metrics.k8s.io: what nodes and pods use, measured by their agents at each request.
#include <set>

#include "api/status.h"
#include "apiserver/rest/context.h"
#include "apiserver/rest/node_usage.h"
#include "base/time/time.h"

namespace berth::apiserver::rest {
namespace {

// One kind of metrics: what is measured, on which node, and where it stands in that node's report.
struct Measured {
  const api::Resource& resource;
  std::string (*node_of)(const Value& object);  // "": on none
  const Value& (*report_of)(const Value& object, const Value& node_report);
};

const Value& pod_report(const Value& object, const Value& node_report) {
  static const Value kNone;
  for (const Value& pod : node_report["pods"]) {
    if (pod["uid"].as_string() == api::uid_of(object)) return pod;
  }
  return kNone;
}

const Measured kNodes{api::resources::kNodes, [](const Value& node) { return std::string(api::name_of(node)); },
                      [](const Value&, const Value& node_report) -> const Value& { return node_report["node"]; }};
const Measured kPods{api::resources::kPods, [](const Value& pod) { return pod["spec"]["nodeName"].str(); }, pod_report};

// The objects that the request is about, and the nodes that measure them.
struct Targets {
  std::vector<Value> objects;
  std::vector<std::string> nodes;
};

Result<Targets> find_targets(const Context& context, const Measured& measured) {
  const registry::Call& call = context.call;
  BERTH_ASSIGN(api::LabelSelector labels, api::LabelSelector::parse(context.parameter("labelSelector")));
  BERTH_ASSIGN(api::FieldSelector fields, api::FieldSelector::parse(context.parameter("fieldSelector")));
  const api::schema::Kind* kind = context.registry->schema().find(measured.resource);
  Targets out;
  std::set<std::string> nodes;
  auto add = [&](const Value& object) {
    const std::string node = measured.node_of(object);
    if (node.empty()) return;
    nodes.insert(node);
    out.objects.push_back(object);
  };
  if (!call.name.empty()) {
    if (store::RecordPtr record = context.registry->store().get(registry::store_key(*kind, call.ns, call.name)))
      add(record->value);
  } else {
    for (const store::RecordPtr& record :
         context.registry->store().list(registry::store_key(*kind, call.ns, "")).records) {
      if (labels.matches(api::labels_of(record->value)) && fields.matches(record->value)) add(record->value);
    }
  }
  out.nodes.assign(nodes.begin(), nodes.end());
  return out;
}

Value metrics_of(const api::schema::Kind& kind, const Value& object, const Value& report, Time now) {
  Value metadata = Value::object({{"name", api::name_of(object)}, {"creationTimestamp", format_time(now)}});
  if (kind.namespaced) metadata.set("namespace", api::namespace_of(object));
  if (!api::labels_of(object).empty()) metadata.set("labels", api::labels_of(object));
  Value out =
      Value::object({{"kind", kind.kind}, {"apiVersion", kind.api_version()}, {"metadata", std::move(metadata)}});
  for (const char* field : {"timestamp", "window", "usage", "containers"}) {
    if (!report[field].is_null()) out.set(field, report[field]);
  }
  return out;
}

void answer_metrics(const ContextPtr& context, const Measured& measured, const Targets& targets,
                    const NodeUsage::Reports& reports) {
  const registry::Call& call = context->call;
  registry::ListAnswer list;
  for (const Value& object : targets.objects) {
    const auto node = reports.find(measured.node_of(object));
    if (node == reports.end()) continue;
    const Value& report = measured.report_of(object, node->second);
    if (report.is_null()) continue;  // not measured
    Value metrics = metrics_of(*call.kind, object, report, context->loop->now());
    list.records.push_back(std::make_shared<const store::Record>("", std::move(metrics), 0, 0));
  }
  if (call.name.empty()) return answer_list(context, list);
  if (list.records.empty()) {
    const api::Resource shown{call.kind->group, call.kind->version, call.kind->singular};
    return answer_error(context, api::not_found(shown, call.ns.empty() ? call.name : call.ns + "/" + call.name));
  }
  registry::Answer answer;
  answer.record = list.records[0];
  answer_object(context, answer);
}

void handle_metrics(const ContextPtr& context, const Measured& measured) {
  if (!context->config->usage) return answer_error(context, error(Code::kUnavailable, "nothing is measured here"));
  Result<Targets> targets = find_targets(*context, measured);
  if (!targets.ok()) return answer_error(context, targets.error());
  const std::vector<std::string> nodes = targets->nodes;
  context->config->usage->ask(nodes,
                              [context, &measured, targets = std::move(*targets)](const NodeUsage::Reports& reports) {
                                answer_metrics(context, measured, targets, reports);
                              });
}

}  // namespace

void handle_node_metrics(const ContextPtr& context) { handle_metrics(context, kNodes); }
void handle_pod_metrics(const ContextPtr& context) { handle_metrics(context, kPods); }

}  // namespace berth::apiserver::rest
