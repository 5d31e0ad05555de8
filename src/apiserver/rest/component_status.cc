// ComponentStatuses: whether the control plane's parts are healthy. All run in this process; made when asked for, never
// stored.
#include "api/plain_error.h"
#include "apiserver/rest/context.h"

namespace berth::apiserver::rest {
namespace {

// Controllers and the scheduler start when the stored state has been read. The store is named as upstream names it.
store::RecordPtr status_of(std::string_view name, bool healthy) {
  Value condition = Value::object({{"type", "Healthy"}, {"status", healthy ? "True" : "False"}});
  condition.set("message", healthy ? "ok" : "still reading the stored state");
  Value status =
      Value::object({{"apiVersion", "v1"}, {"kind", "ComponentStatus"}, {"metadata", Value::object({{"name", name}})}});
  status.set("conditions", Value::array({std::move(condition)}));
  return std::make_shared<const store::Record>("", std::move(status), 0, 0);
}

}  // namespace

void handle_component_status(const ContextPtr& context) {
  const bool ready = !context->config->ready || context->config->ready();
  const std::string_view name = context->call.name;
  Result<api::LabelSelector> labels = api::LabelSelector::parse(context->parameter("labelSelector"));
  if (!labels.ok()) return answer_error(context, labels.error());
  Result<api::FieldSelector> fields = api::FieldSelector::parse(context->parameter("fieldSelector"));
  if (!fields.ok()) return answer_error(context, fields.error());
  registry::ListAnswer list;
  for (std::string_view component : {"controller-manager", "scheduler", "etcd-0"}) {
    store::RecordPtr status = status_of(component, ready || component == "etcd-0");
    if (name == component) {
      registry::Answer answer;
      answer.record = std::move(status);
      return answer_object(context, answer);
    }
    if (labels->matches(Value()) && fields->matches(status->value)) list.records.push_back(std::move(status));
  }
  if (!name.empty()) return answer_error(context, api::plain_error("Component not found: " + std::string(name)));
  answer_list(context, list);
}

}  // namespace berth::apiserver::rest
