#include "apiserver/rest/kind_handlers.h"

#include "api/schema/kind_map.h"

namespace berth::apiserver::rest {
namespace {

struct HandlerRow {
  std::string_view group, kind;
  KindHandler handle;
};
constexpr HandlerRow kRows[] = {
    {"", "ComponentStatus", handle_component_status},
    {"authentication.k8s.io", "SelfSubjectReview", handle_review},
    {"authentication.k8s.io", "TokenReview", handle_review},
    {"authorization.k8s.io", "LocalSubjectAccessReview", handle_review},
    {"authorization.k8s.io", "SelfSubjectAccessReview", handle_review},
    {"authorization.k8s.io", "SelfSubjectRulesReview", handle_review},
    {"authorization.k8s.io", "SubjectAccessReview", handle_review},
    {"metrics.k8s.io", "NodeMetrics", handle_node_metrics},
    {"metrics.k8s.io", "PodMetrics", handle_pod_metrics},
};

}  // namespace

KindHandler handler_of(const api::schema::Kind& kind) {
  static const api::schema::KindMap<KindHandler> kHandlers(api::schema::builtin(),
                                                           [](const api::schema::Kind& one) -> KindHandler {
                                                             const HandlerRow* row = api::schema::row_of(kRows, one);
                                                             return row == nullptr ? nullptr : row->handle;
                                                           });
  const KindHandler* found = kHandlers.find(kind);
  return found == nullptr ? nullptr : *found;
}

}  // namespace berth::apiserver::rest
