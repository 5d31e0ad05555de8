#pragma once
// What admission sees of a write: the request, the objects of the cluster that it may read, the change itself.
//
// Admission decides and never writes: it completes new objects, or refuses a change with the error that the client gets
// (kForbidden and others, worded as upstream words them). All of it runs in the turn of the loop that submits the
// write, so what it read is still true when the write is submitted.

#include <string>
#include <string_view>
#include <vector>

#include "api/resources.h"
#include "api/schema/schema.h"
#include "base/result.h"
#include "base/runtime.h"
#include "store/store.h"

namespace berth::apiserver::admission {

// The objects that admission reads. `ns` is "" for cluster-scoped kinds.
class ObjectReader {
 public:
  virtual ~ObjectReader() = default;
  // The newest submitted version, which may not be durable yet; null where there is none.
  virtual store::RecordPtr find(const api::Resource& resource, std::string_view ns, std::string_view name) const = 0;
  // The durable versions of a collection, by name.
  virtual std::vector<store::RecordPtr> list(const api::Resource& resource, std::string_view ns) const = 0;
  // The newest submitted versions of the same objects, without those that are about to be deleted.
  virtual std::vector<store::RecordPtr> list_newest(const api::Resource& resource, std::string_view ns) const = 0;
};

struct Request {
  const ObjectReader& objects;
  Runtime& runtime;  // for the time, and for random names
  const api::schema::Kind& kind;
  std::string_view subresource, ns, name;  // of the path; `name` is empty where an object is created
};

// A validated change of one object.
struct Change {
  const Request& request;
  const Value& before;  // null: the object is new
  const Value& after;
  const Value& sent;                   // `after` with the empty lists and maps that the client sent
  std::vector<std::string>& warnings;  // to be appended to
  bool creates() const { return before.is_null(); }
};
// Refuses the change, or returns ok.
using Check = Status (*)(const Change& change);

}  // namespace berth::apiserver::admission
