#pragma once
// Client: the API, for controllers, the scheduler and the agent. They use neither the store nor a socket.
//
// Implementations: DirectClient (in the server's process, over the registry), HttpClient (everywhere else),
// sim's FaultyClient (loses, delays, repeats). Callbacks run on the caller's loop, later, never inside the call.
// Code::kUnknown means that a write may have been applied: read again before the next try.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "api/object.h"
#include "api/request_options.h"
#include "api/resources.h"
#include "base/function.h"
#include "base/json/json.h"
#include "base/result.h"

namespace berth::client {

using api::DeleteOptions;
using api::ListOptions;
using api::Name;
using api::PatchType;
using api::Resource;
using api::WriteOptions;

struct List {
  std::vector<Value> items;  // each with apiVersion and kind
  std::string resource_version;
};

class WatchHandler {
 public:
  virtual ~WatchHandler() = default;
  // `type`: "ADDED", "MODIFIED", "DELETED", "BOOKMARK".
  virtual void on_event(std::string_view type, const Value& object) = 0;
  // The stream is over. kExpired: list again. Anything else: watch again from the last resourceVersion seen.
  virtual void on_end(const Error& error) = 0;
};

class WatchHandle {  // destroying it ends the watch; no callback follows
 public:
  virtual ~WatchHandle() = default;
};

class Client {
 public:
  using Done = Function<void(Result<Value>)>;
  using ListDone = Function<void(Result<List>)>;

  virtual ~Client() = default;

  virtual void get(const Resource& resource, const Name& name, Done done) = 0;
  virtual void list(const Resource& resource, const ListOptions& options, ListDone done) = 0;
  // Events after `resource_version`. Errors of the start arrive by on_end.
  virtual std::unique_ptr<WatchHandle> watch(const Resource& resource, const ListOptions& options,
                                             std::string resource_version, WatchHandler* handler) = 0;
  // The namespace is the object's own metadata.namespace.
  virtual void create(const Resource& resource, Value object, const WriteOptions& options, Done done) = 0;
  // Subresources that are created on an object: "binding", "eviction", "token".
  virtual void create_sub(const Resource& resource, const Name& name, Value object, const WriteOptions& options,
                          Done done) = 0;
  // metadata.resourceVersion in the object, where set, is a precondition.
  virtual void update(const Resource& resource, Value object, const WriteOptions& options, Done done) = 0;
  virtual void patch(const Resource& resource, const Name& name, PatchType type, Value patch,
                     const WriteOptions& options, Done done) = 0;
  // Answers with the object (still there, terminating) or a Status.
  virtual void remove(const Resource& resource, const Name& name, const DeleteOptions& options, Done done) = 0;
};

}  // namespace berth::client
