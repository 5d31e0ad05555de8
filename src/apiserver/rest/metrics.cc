// metrics.k8s.io: what nodes and pods use, measured by their agents when somebody asks.
#include <set>

#include "api/status.h"
#include "apiserver/rest/context.h"
#include "apiserver/rest/node_usage.h"
#include "base/time/time.h"

namespace berth::apiserver::rest {
namespace {

// What the question is about: the objects whose usage is wanted, each with the node that knows.
struct Wanted {
  std::vector<Value> objects;
  std::vector<std::string> nodes;
};

Result<Wanted> find_wanted(const Context& context) {
  const registry::Call& call = context.call;
  const bool pods = call.kind->kind == "PodMetrics";
  BERTH_ASSIGN(api::LabelSelector labels, api::LabelSelector::parse(context.parameter("labelSelector")));
  BERTH_ASSIGN(api::FieldSelector fields, api::FieldSelector::parse(context.parameter("fieldSelector")));
  const api::schema::Kind* measured =
      context.registry->schema().find(pods ? api::resources::kPods : api::resources::kNodes);
  Wanted out;
  std::set<std::string> nodes;
  auto take = [&](const Value& object) {
    const std::string node(pods ? object["spec"]["nodeName"].as_string() : api::name_of(object));
    if (node.empty()) return;
    nodes.insert(node);
    out.objects.push_back(object);
  };
  if (!call.name.empty()) {
    if (store::RecordPtr record = context.registry->store().get(registry::store_key(*measured, call.ns, call.name)))
      take(record->value);
  } else {
    for (const store::RecordPtr& record :
         context.registry->store().list(registry::store_key(*measured, call.ns, "")).records) {
      if (labels.matches(api::labels_of(record->value)) && fields.matches(record->value)) take(record->value);
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

// The part of a node's report that is about the object; null where it was not measured.
const Value& report_of(const api::schema::Kind& kind, const Value& object, const NodeUsage::Reports& reports) {
  static const Value kNone;
  auto at = reports.find(
      std::string(kind.kind == "PodMetrics" ? object["spec"]["nodeName"].as_string() : api::name_of(object)));
  if (at == reports.end()) return kNone;
  if (kind.kind == "NodeMetrics") return at->second["node"];
  for (const Value& pod : at->second["pods"]) {
    if (pod["uid"].as_string() == api::uid_of(object)) return pod;
  }
  return kNone;
}

void answer_metrics(const ContextPtr& context, const Wanted& wanted, const NodeUsage::Reports& reports) {
  const registry::Call& call = context->call;
  registry::ListAnswer list;
  for (const Value& object : wanted.objects) {
    const Value& report = report_of(*call.kind, object, reports);
    if (report.is_null()) continue;
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

}  // namespace

void handle_metrics(const ContextPtr& context) {
  if (!context->config->usage) return answer_error(context, error(Code::kUnavailable, "nothing is measured here"));
  Result<Wanted> wanted = find_wanted(*context);
  if (!wanted.ok()) return answer_error(context, wanted.error());
  const std::vector<std::string> nodes = wanted->nodes;
  context->config->usage->ask(nodes, [context, wanted = std::move(*wanted)](const NodeUsage::Reports& reports) {
    answer_metrics(context, wanted, reports);
  });
}

}  // namespace berth::apiserver::rest
