#pragma once
// The last step of every write: one write of the store, and its answer.
//
// On the loop's thread. `done` is called once, never from inside the call, with the durable version or with the
// refusal.

#include <string>
#include <vector>

#include "apiserver/admission/quota.h"
#include "apiserver/registry/kind_strategy.h"

namespace berth::apiserver::registry {

extern const char* const kModified;  // upstream's text for a write that replaces another version than the newest

// One write on its way to the store.
struct Commit {
  Call call;
  std::string key;
  store::Revision expected = 0;  // the version that is replaced; 0: none
  int http = 200;
  std::vector<std::string> warnings;
};
// `ephemeral`: need not be durable (store::Write). A dry run answers with the object and writes nothing.
void commit_put(const StatePtr& state, Commit commit, Value object, bool ephemeral, Done done);
// What a deletion answers with: a Status, or an object.
struct DeletedForm {
  bool with_object = false;
  Value object;  // null: the last durable version
};
void commit_delete(const StatePtr& state, Commit commit, DeletedForm form, Done done);

// For calls that decide by the newest version of an object, which may not be durable yet: a refusal that rests on such
// a version is given when it is durable, and becomes kUnavailable where the version could not be stored.
Done refuse_when_durable(const StatePtr& state, const std::string& key, Done done);
// The answer with these warnings before its own.
Done with_warnings(std::vector<std::string> warnings, Done done);
void answer_later(Registry::State& state, Done done, Result<Answer> answer);
// {"kind":"Status","status":"Success","code":201}: what requests like Binding answer with.
Answer created_status();
// Writes the quotas that a change was charged for. In the turn of the change, right after it: see QuotaCharge.
void charge_quotas(const StatePtr& state, std::vector<admission::QuotaCharge> charges);

}  // namespace berth::apiserver::registry
