#pragma once
// Registry: the API without HTTP. Takes a request for an object or a collection, runs admission, defaulting,
// validation, patches, preconditions, finalizers and the kinds' own strategies, and reads or writes the store.
//
// Lives on its Runtime's thread. Everything between reading the newest version and submitting the write happens in one
// call, so there is no retry loop; an answer comes when the write is durable. No knowledge of sockets or encodings.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/schema/feature_gates.h"
#include "api/schema/schema.h"
#include "api/selector.h"
#include "base/result.h"
#include "base/runtime.h"
#include "client/client.h"
#include "store/store.h"

namespace berth::apiserver::registry {

struct User {
  std::string name;  // "system:anonymous" without credentials
  std::vector<std::string> groups;
  std::string uid = {};
  std::map<std::string, std::vector<std::string>> extra =
      {};  // "authentication.kubernetes.io/pod-name": ["web-0"], ...
  bool in_group(std::string_view group) const;
};

// What every request has besides its object.
struct Call {
  User user;
  const api::schema::Kind* kind = nullptr;
  std::string subresource;  // "", "status", "scale", "binding", "eviction", "ephemeralcontainers", "resize", "token",
                            // "finalize"
  std::string ns;           // of the path; empty for cluster scope and for lists over all namespaces
  std::string name;         // empty for collections
  std::string resource_version;  // of a get: no older than this; empty and "0": whatever is there
  std::string field_manager;     // already derived from the user agent where not given
  bool dry_run = false;
  bool answered_in_json = false;        // a stored version will be answered as its json()
  std::vector<std::string> duplicates;  // paths of fields that the parser of the body saw twice
  std::string body_start;               // the first 31 bytes of the body, for errors about what cannot be recognized
  enum class FieldValidation { kIgnore, kWarn, kStrict } field_validation = FieldValidation::kWarn;
};

struct Answer {
  int http = 200;
  store::RecordPtr record;            // where the answer is exactly a stored version (its json() is shared)
  Value object;                       // otherwise: a Status, a Scale, a dry-run result ...
  std::vector<std::string> warnings;  // `Warning: 299` headers: unknown field "spec.x", ...
  const Value& value() const { return record ? record->value : object; }
};
using Done = Function<void(Result<Answer>)>;

struct ListCall {
  std::string label_selector, field_selector;
  std::size_t limit = 0;
  std::string continue_token;
  std::string resource_version;
  std::string resource_version_match;  // "", "Exact", "NotOlderThan"
};
struct ListAnswer {
  std::vector<store::RecordPtr> records;
  std::string resource_version;
  std::string continue_token;  // empty: complete
  std::optional<std::int64_t> remaining;
};

struct WatchCall {
  std::string label_selector, field_selector;
  std::string resource_version;  // "" and "0": start with the present state as ADDED events
  bool bookmarks = false;
  // True (WatchList): the present state as ADDED events, then, with bookmarks, one annotated k8s.io/initial-events-end.
  // False: no present state. Not given: as resource_version says.
  std::optional<bool> send_initial_events;
};
class ObjectWatchSink {
 public:
  virtual ~ObjectWatchSink() = default;
  // `type` is "ADDED", "MODIFIED" or "DELETED" after selectors were applied. False: behind; resume() continues.
  virtual bool on_event(std::string_view type, const store::RecordPtr& record) = 0;
  virtual void on_bookmark(store::Revision revision, bool initial_events_end) = 0;
  virtual void on_end(const Error& error) = 0;  // kExpired: a 410 Status as an ERROR event
};
class ObjectWatch {
 public:
  virtual ~ObjectWatch() = default;
  virtual void resume() = 0;
};

struct RegistryConfig {
  std::string service_cidr = "10.96.0.0/16";  // ClusterIPs are taken from here; .1 is kubernetes.default, .10 is DNS
  int node_port_first = 30000, node_port_last = 32767;
  // Signs the claims of a TokenRequest (a JSON object); null: serviceaccounts/token answers kUnimplemented.
  std::function<Result<std::string>(const Value& claims)> token_signer;
  std::string token_issuer = "https://kubernetes.default.svc.cluster.local";
  Duration event_lifetime = std::chrono::hours(1);
  std::size_t most_events = 20'000;  // in all; beyond, the oldest of the namespace with most of them are deleted
  api::schema::FeatureGates gates;
};

class Registry {
 public:
  Registry(Runtime& runtime, store::Store& store, const api::schema::Schema& schema, RegistryConfig config = {});
  ~Registry();

  // Creates what every cluster has (namespaces default, kube-system, kube-public, kube-node-lease; the kubernetes
  // Service; the default StorageClass) where missing, and reads back the allocations of ClusterIPs and node ports.
  void bootstrap(Task done);

  void get(const Call& call, Done done);
  Result<ListAnswer> list(const Call& call, const ListCall& options);
  Result<std::unique_ptr<ObjectWatch>> watch(const Call& call, const WatchCall& options, ObjectWatchSink* sink);
  // `json_text`: of the object as it was sent, where that was JSON. Errors about fields follow its order.
  void create(const Call& call, Value object, Done done, std::string_view json_text = {});
  void update(const Call& call, Value object, Done done, std::string_view json_text = {});
  // `force` is for kApply.
  void patch(const Call& call, api::PatchType type, Value patch, bool force, Done done);
  void remove(const Call& call, const api::DeleteOptions& options, Done done);
  void remove_collection(const Call& call, const ListCall& which, const api::DeleteOptions& options, Done done);

  const api::schema::Schema& schema() const;
  store::Store& store();
  Runtime& runtime();

  struct State;  // internal to registry/

 private:
  std::shared_ptr<State> state_;
};

// Key of an object in the store: "/registry/<group or core>/<resource>/[<namespace>/]<name>".
std::string store_key(const api::schema::Kind& kind, std::string_view ns, std::string_view name);

// A continue token for the rest of a list whose version is compacted: the rest as it is when the token is used. Empty:
// `token` is malformed.
std::string continue_from_now(const std::string& token);

// A review (SubjectAccessReview, ...): decoded and checked like an object that is stored.
Result<Value> decode_review(const Call& call, Value object, std::vector<std::string>& warnings);

// A Client in the server's own process. `user`: of its calls (system:masters).
std::unique_ptr<client::Client> make_direct_client(Registry& registry, User user);

}  // namespace berth::apiserver::registry
