#pragma once
// Label and field selectors of lists and watches. Pure; any thread.

#include <string>

#include "api/schema/schema.h"
#include "api/selector.h"
#include "base/result.h"

namespace berth::apiserver::registry {

struct Selection {
  api::LabelSelector labels;
  api::FieldSelector fields;  // of paths in the object
  bool matches(const Value& object) const {
    return labels.matches(object["metadata"]["labels"]) && fields.matches(object);
  }
};
// kBadRequest: a malformed selector, or a field label that the kind does not have.
Result<Selection> parse_selection(const api::schema::Kind& kind, const std::string& label_text,
                                  const std::string& field_text);

}  // namespace berth::apiserver::registry
