#include "controllers/shared/template_hash.h"

#include "base/text.h"

namespace berth::controllers {
namespace {

Value without_hash(Value pod_template) {
  if (pod_template["metadata"]["labels"].contains(kHashLabel))
    pod_template.mut("metadata").mut("labels").erase(kHashLabel);
  return pod_template;
}

}  // namespace

bool same_template(const Value& a, const Value& b) { return without_hash(a) == without_hash(b); }

std::string template_hash(const Value& pod_template, std::int64_t collision_count) {
  std::string text = json::encode(without_hash(pod_template));
  if (collision_count > 0) text += "/" + std::to_string(collision_count);
  return safe_encode(std::to_string(fnv32a(text)));
}

}  // namespace berth::controllers
