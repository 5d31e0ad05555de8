#include "apiserver/registry/commit.h"

#include "api/status.h"
#include "apiserver/registry/conversion.h"
#include "apiserver/registry/state.h"
#include "base/log.h"

namespace berth::apiserver::registry {

const char* const kModified =
    "the object has been modified; please apply your changes to the latest version and try again";

namespace {

Error store_error(const Commit& commit, const Error& error) {
  if (error.code == Code::kConflict) {
    if (commit.expected == 0) return api::already_exists(commit.call.kind->resource(), commit.call.name);
    return api::conflict(commit.call.kind->resource(), commit.call.name, kModified);
  }
  return error;
}

}  // namespace

Done with_warnings(std::vector<std::string> warnings, Done done) {
  if (warnings.empty()) return done;
  return [warnings = std::move(warnings), done = std::move(done)](Result<Answer> answer) mutable {
    if (answer.ok()) answer->warnings.insert(answer->warnings.begin(), warnings.begin(), warnings.end());
    done(std::move(answer));
  };
}

Answer created_status() {
  Answer answer;
  answer.http = 201;
  answer.object = Value::object(
      {{"kind", "Status"}, {"apiVersion", "v1"}, {"metadata", Value::object()}, {"status", "Success"}, {"code", 201}});
  return answer;
}

void answer_later(Registry::State& state, Done done, Result<Answer> answer) {
  state.runtime.post([done = std::move(done), answer = std::move(answer)]() mutable { done(std::move(answer)); });
}

Done refuse_when_durable(const StatePtr& state, const std::string& key, Done done) {
  store::RecordPtr visible = state->store.get(key);
  if (state->store.head(key) == visible) return done;
  return [state, key, visible, done = std::move(done)](Result<Answer> answer) mutable {
    if (answer.ok()) return done(std::move(answer));
    state->store.flush([state, key, visible, answer = std::move(answer), done = std::move(done)]() mutable {
      if (state->store.get(key) != visible) return done(std::move(answer));
      done(error(Code::kUnavailable, "the version this answer was based on could not be stored; try again"));
    });
  };
}

void commit_put(const StatePtr& state, Commit commit, Value object, bool ephemeral, Done done) {
  if (commit.call.dry_run) {
    Answer answer;
    answer.http = commit.http;
    answer.object = from_storage(*commit.call.kind, std::move(object));
    answer.warnings = std::move(commit.warnings);
    return answer_later(*state, std::move(done), std::move(answer));
  }
  store::Write write;
  write.key = commit.key;
  write.value = std::move(object);
  write.expected = commit.expected;
  write.ephemeral = ephemeral;
  write.keep_json = commit.call.answered_in_json;
  const KindStrategy& strategy = strategy_of(*commit.call.kind);
  write.expendable = strategy.expendable;
  state->store.write(std::move(write), [state, &strategy, commit = std::move(commit),
                                        done = std::move(done)](Result<store::RecordPtr> record) {
    if (!record.ok()) return done(store_error(commit, record.error()));
    if (strategy.after_put != nullptr) strategy.after_put(state, commit.key);
    Answer answer;
    answer.http = commit.http;
    answer.record = view_of(*commit.call.kind, *record);
    answer.warnings = commit.warnings;
    done(std::move(answer));
  });
}

void commit_delete(const StatePtr& state, Commit commit, DeletedForm form, Done done) {
  store::RecordPtr head = state->store.head(commit.key);
  auto finish = [kind = commit.call.kind, form = std::move(form), http = commit.http](const store::RecordPtr& record) {
    Answer answer;
    answer.http = http;
    if (form.with_object) {
      if (form.object.is_null()) answer.record = view_of(*kind, record);
      answer.object = form.object;
      return answer;
    }
    Value details = Value::object(
        {{"name", api::name_of(record->value)}, {"kind", kind->plural}, {"uid", api::uid_of(record->value)}});
    if (!kind->group.empty()) details.set("group", kind->group);
    answer.object = Value::object({{"kind", "Status"},
                                   {"apiVersion", "v1"},
                                   {"metadata", Value::object()},
                                   {"status", "Success"},
                                   {"details", details}});
    return answer;
  };
  if (commit.call.dry_run) return answer_later(*state, std::move(done), finish(head));
  store::Write write;
  write.kind = store::Write::Kind::kDelete;
  write.key = commit.key;
  write.expected = commit.expected;
  state->store.write(std::move(write), [state, head, commit = std::move(commit), finish,
                                        done = std::move(done)](Result<store::RecordPtr> record) {
    if (!record.ok()) {
      return done(record.failed_with(Code::kNotFound) ? api::not_found(commit.call.kind->resource(), commit.call.name)
                                                      : store_error(commit, record.error()));
    }
    const KindStrategy& strategy = strategy_of(*commit.call.kind);
    if (strategy.after_delete != nullptr) strategy.after_delete(state, {commit.key, head, (*record)->value});
    done(finish(*record));
  });
}

void charge_quotas(const StatePtr& state, std::vector<admission::QuotaCharge> charges) {
  for (admission::QuotaCharge& charge : charges) {
    store::Write write;
    write.key = charge.head->key;
    write.value = std::move(charge.after);
    write.expected = charge.head->mod_revision;
    state->store.write(std::move(write), [key = charge.head->key](Result<store::RecordPtr> written) {
      // No harm: the quota controller counts again.
      if (!written.ok())
        log_warning("registry", "a quota was not charged", {{"quota", key}, {"error", written.error().message}});
    });
  }
}

}  // namespace berth::apiserver::registry
