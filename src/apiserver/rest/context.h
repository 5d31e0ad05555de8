#pragma once
// Context: one request on its way through rest/, owned by the callbacks that will answer it. Its pointers are to
// objects that outlive the requests. Loop thread only. Internal to rest/.

#include <memory>
#include <string>

#include "apiserver/rest/encodings/encoded_records.h"
#include "apiserver/rest/encodings/shared_views.h"
#include "apiserver/rest/negotiate.h"
#include "apiserver/rest/rest_server.h"
#include "apiserver/rest/route.h"

namespace berth::apiserver::rest {

struct Context {
  std::shared_ptr<http::Exchange> exchange;
  Route route;
  Accept accept;
  registry::Call call;
  Loop* loop = nullptr;
  registry::Registry* registry = nullptr;
  const RestConfig* config = nullptr;
  SharedViews* views = nullptr;
  EncodedRecords* encoded = nullptr;
  bool ends_connection = false;     // a refusal is the last answer of the connection
  std::shared_ptr<void> in_flight;  // while it exists, the request counts as in flight; null: it does not count

  const http::Request& request() const { return exchange->request(); }
  std::string_view parameter(std::string_view name) const { return exchange->request().parameter(name); }
  bool flag(std::string_view name) const;  // see http/query_flag.h
};
using ContextPtr = std::shared_ptr<Context>;

// --- answer.cc: rendering in the negotiated form

void answer_value(const ContextPtr& context, int http, const Value& value);
void answer_error(const ContextPtr& context, const Error& error);
// Refusals that upstream's router makes before any handler runs; their details are empty, but there.
Error router_refusal(Code code, std::string message);
Error method_not_allowed();
void answer_object(const ContextPtr& context, const registry::Answer& answer);
void answer_list(const ContextPtr& context, const registry::ListAnswer& list);
void answer_text(const ContextPtr& context, int http, std::string text);
http::Headers watch_headers(const Context& context);  // of a stream of events
// Table or PartialObjectMetadata form of one object, for answers and watch events; the object itself for As::kObject.
Value view_object(const Context& context, const Value& object, bool with_columns);
// Everything of the request that says what view_object() makes of an object.
std::string view_form(const Context& context, bool with_columns);

// --- body.cc: the request's body as a value
// JSON, YAML or Kubernetes' protobuf envelope. `kind` gives the meaning of protobuf bytes.
Result<Value> decode_body(const Context& context, std::vector<std::string>* duplicates);
// The text of a body that is JSON by its Content-Type; empty for others.
std::string_view json_body(const Context& context);

// --- the verbs
void handle_object(const ContextPtr& context, const std::string& verb);  // objects.cc
void handle_watch(const ContextPtr& context);                            // watch_stream.cc
void handle_review(const ContextPtr& context);                           // reviews.cc
void handle_node_metrics(const ContextPtr& context);                     // metrics.cc: measured, not stored
void handle_pod_metrics(const ContextPtr& context);
void handle_component_status(const ContextPtr& context);  // component_status.cc
void handle_proxy(const ContextPtr& context);             // proxy.cc
void handle_node_stream(const ContextPtr& context);       // stream_proxy.cc: log, exec, attach, portforward

}  // namespace berth::apiserver::rest
