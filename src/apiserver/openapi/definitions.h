#pragma once
// Inside the openapi module: types of the schema as JSON schemas of either OpenAPI version.

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "apiserver/openapi/operations.h"

namespace berth::apiserver::openapi {

enum class Dialect { kV2, kV3 };

class Definitions {
 public:
  Definitions(const api::schema::Schema& schema, Dialect dialect);

  // {"$ref": ...} to a definition; notes the name as used.
  Value reference(std::string_view definition);
  // All definitions used so far, and those they use, by name.
  Value used();
  // Every definition of the schema.
  Value all();

 private:
  Value type(const api::schema::Type& type);
  Value field(const api::schema::Field& field, bool with_description);
  Value shape(const api::schema::Field& field);
  Value shared(std::string_view name) const;  // null where it is no shared scalar
  const api::schema::Schema& schema_;
  const Dialect dialect_;
  std::map<const api::schema::Type*, std::vector<GroupVersionKind>> kinds_;
  std::set<std::string, std::less<>> wanted_;
};

}  // namespace berth::apiserver::openapi
