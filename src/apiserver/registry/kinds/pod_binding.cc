// pods/binding: a pod is assigned to a node, once.
#include "api/plain_error.h"
#include "api/status.h"
#include "apiserver/registry/commit.h"
#include "apiserver/registry/kinds/pod_conditions.h"
#include "apiserver/registry/kinds/pod_subresources.h"
#include "apiserver/registry/state.h"
#include "base/text.h"

namespace berth::apiserver::registry {
namespace {

// All but the first of these refusals are plain errors upstream.
Status check_binding(const Call& call, const Value& binding) {
  if (std::string_view name = api::name_of(binding); !name.empty() && name != call.name) {
    return error(Code::kBadRequest, "name in URL does not match name in Binding object");
  }
  const Value& target = binding["target"];
  if (std::string_view kind = target["kind"].as_string(); !kind.empty() && kind != "Node") {
    return api::plain_error("target.kind: Unsupported value: " + quoted(kind) +
                            ": supported values: \"Node\", \"<empty>\"");
  }
  if (target["name"].as_string().empty()) return api::plain_error("target.name: Required value");
  return ok_status();
}

}  // namespace

void bind_pod(const StatePtr& state, const Call& call, Value binding, Done done) {
  auto refuse = [&](Error e) { answer_later(*state, std::move(done), std::move(e)); };
  if (Status valid = check_binding(call, binding); !valid.ok()) return refuse(valid.error());
  std::string node = binding["target"]["name"].str();
  store::RecordPtr head = state->find(api::resources::kPods, call.ns, call.name);
  if (!head) return refuse(api::not_found(api::resources::kPods, call.name));
  const Value& before = head->value;
  if (std::string_view uid = binding["metadata"]["uid"].as_string(); !uid.empty() && uid != api::uid_of(before)) {
    return refuse(api::conflict({"", "v1", "pods/binding"}, call.name,
                                "Precondition failed: UID in precondition: " + std::string(uid) +
                                    ", UID in object meta: " + std::string(api::uid_of(before))));
  }
  if (api::is_terminating(before)) {
    return refuse(api::conflict({"", "v1", "pods/binding"}, call.name,
                                "pod " + call.name + " is being deleted, cannot be assigned to a host"));
  }
  if (!before["spec"]["schedulingGates"].empty()) {
    return refuse(api::conflict({"", "v1", "pods/binding"}, call.name,
                                "pod " + call.name + " has non-empty .spec.schedulingGates"));
  }
  if (std::string_view present = before["spec"]["nodeName"].as_string(); !present.empty()) {
    return refuse(api::conflict({"", "v1", "pods/binding"}, call.name,
                                "pod " + call.name + " is already assigned to node \"" + std::string(present) + "\""));
  }
  Value after = before;
  after.mut("spec").set("nodeName", node);
  const Value annotations = binding["metadata"]["annotations"];
  for (auto [key, value] : annotations.entries()) after.mut("metadata").mut("annotations").set(key, value);
  set_scheduled(after, "True", "", "", state->runtime.now());
  after.mut("status").erase("nominatedNodeName");
  Commit commit{call, head->key, head->mod_revision, 201, {}};
  commit_put(state, std::move(commit), std::move(after), false, [done = std::move(done)](Result<Answer> answer) {
    if (!answer.ok()) return done(answer.error());
    done(created_status());
  });
}

}  // namespace berth::apiserver::registry
