#pragma once
// Creates and updates, from the decoded object to the durable version. write.cc has the order of the steps, and why.
//
// On the loop's thread. `done` is called once, never from inside the call, with the durable version or with the
// refusal.

#include <string>
#include <vector>

#include "apiserver/registry/kind_strategy.h"

namespace berth::apiserver::registry {

// `track`: managed fields are found by comparing (not: apply, which knows them). `has_empty`: as decode_with_empty()
// says; such lists and maps are dropped after validation.
void create_object(const StatePtr& state, const Call& call, Value object, std::vector<std::string> warnings, bool track,
                   Done done, bool has_empty = false);
// Replaces `head` by what `after` makes of it through the call's subresource.
void update_object(const StatePtr& state, const Call& call, const store::RecordPtr& head, Value after,
                   std::vector<std::string> warnings, bool track, Done done, bool has_empty = false);

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

}  // namespace berth::apiserver::registry
