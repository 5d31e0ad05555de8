// get and list.
#include "api/registry/state.h"
#include "api/status.h"
#include "base/text.h"

namespace berth::registry {
namespace {

std::string group_part(const schema::Kind& kind) { return kind.group.empty() ? "core" : kind.group; }

struct ContinueToken {
  store::Revision revision = 0;
  std::string start;
};

std::string encode_token(const ContinueToken& token) {
  return base64url_encode(json::encode(Value::object({{"v", "meta.k8s.io/v1"}, {"rv", static_cast<long>(token.revision)}, {"start", token.start}})));
}

Result<ContinueToken> decode_token(const std::string& text, const std::string& prefix) {
  auto bad = [](const std::string& why) { return error(Code::kBadRequest, "invalid continue token: continue key is not valid: " + why); };
  Result<std::string> decoded = base64url_decode(text);
  if (!decoded.ok()) return bad("it is not base64");
  Result<Value> value = json::parse(*decoded);
  if (!value.ok()) return bad(value.error().message);
  ContinueToken token{(*value)["rv"].as_int(), (*value)["start"].str()};
  if ((*value)["v"].as_string() != "meta.k8s.io/v1" || token.start.empty()) return bad("incorrect encoded start resourceVersion or key");
  if (!token.start.starts_with(prefix)) return bad("it belongs to another collection");
  return token;
}

Error too_old_token() {
  return error(Code::kExpired,
               "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue "
               "parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided "
               "token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was "
               "returned and now may show up in the list.");
}

Error too_large_version(store::Revision wanted, store::Revision current) {
  Error e = error(Code::kTimeout, "Timeout: Too large resource version: " + std::to_string(wanted) + ", current: " + std::to_string(current));
  auto details = std::make_shared<ErrorDetails>();
  details->retry_after_seconds = 1;
  details->causes.push_back({"ResourceVersionTooLarge", "Too large resource version", ""});
  e.details = details;
  return e;
}

Result<store::Revision> parse_version(const std::string& text) {
  Result<long> number = parse_int(text);
  if (!number.ok() || *number < 0) {
    return api::invalid("meta.k8s.io", "ListOptions", "", {api::invalid_value("resourceVersion", text, "strconv.ParseUint: parsing " + quoted(text) + ": invalid syntax")});
  }
  return static_cast<store::Revision>(*number);
}

struct Span {
  store::Revision at = 0;   // 0: now
  std::string after;
};

Result<Span> span_of(Registry::State& state, const ListCall& options, const std::string& prefix) {
  Span span;
  if (!options.continue_token.empty()) {
    BERTH_ASSIGN(ContinueToken token, decode_token(options.continue_token, prefix));
    if (token.revision <= state.store.compacted() && token.revision != state.store.revision()) return too_old_token();
    return Span{token.revision, token.start};
  }
  if (options.resource_version.empty() || options.resource_version == "0") return span;
  BERTH_ASSIGN(store::Revision wanted, parse_version(options.resource_version));
  if (wanted > state.store.revision()) return too_large_version(wanted, state.store.revision());
  if (options.resource_version_match == "Exact") span.at = wanted;
  return span;
}

}  // namespace

std::string store_key(const schema::Kind& kind, std::string_view ns, std::string_view name) {
  // Both forms of an Event are one object.
  std::string key = "/registry/" + (kind.kind == "Event" ? "core" : group_part(kind)) + "/" + kind.plural + "/";
  if (kind.namespaced && !ns.empty()) key.append(ns).append("/");
  return key.append(name);
}

void Registry::get(const Call& call, Done done) {
  if (call.subresource == "scale") return get_scale(state_, call, std::move(done));
  store::RecordPtr record = state_->store.get(store_key(*call.kind, call.ns, call.name));
  if (!record) return done(api::not_found(call.kind->resource(), call.name));
  Answer answer;
  answer.record = view_of(*call.kind, record);
  done(std::move(answer));
}

Result<ListAnswer> Registry::list(const Call& call, const ListCall& options) {
  State& state = *state_;
  BERTH_ASSIGN(Selection selection, parse_selection(*call.kind, options.label_selector, options.field_selector));
  std::string prefix = store_key(*call.kind, call.ns, "");
  BERTH_ASSIGN(Span span, span_of(state, options, prefix));
  ListAnswer answer;
  bool everything = selection.labels.matches_everything() && selection.fields.empty();
  store::Revision revision = 0;
  auto fetch = [&](std::size_t limit, std::string_view after) -> Result<store::Listing> {
    if (span.at == 0) return state.store.list(prefix, limit, after);
    return state.store.list_at(span.at, prefix, limit, after);
  };
  if (std::string_view name = selection.fields.exact_name(); !name.empty() && span.at == 0 && !(call.kind->namespaced && call.ns.empty())) {
    store::RecordPtr record = state.store.get(prefix + std::string(name));
    if (record && selection.matches(record->value)) answer.records.push_back(view_of(*call.kind, record));
    answer.resource_version = std::to_string(state.store.revision());
    return answer;
  }
  // With a selector the limit counts what matches, so the pages are cut here.
  Result<store::Listing> listing = fetch(everything ? options.limit : 0, span.after);
  if (!listing.ok()) return listing.failed_with(Code::kExpired) ? too_old_token() : listing.error();
  revision = listing->revision;
  for (const store::RecordPtr& record : listing->records) {
    if (!everything && !selection.matches(from_storage(*call.kind, record->value))) continue;
    if (!everything && options.limit > 0 && answer.records.size() == options.limit) {
      answer.continue_token = encode_token({revision, answer.records.back()->key});
      break;
    }
    answer.records.push_back(view_of(*call.kind, record));
  }
  if (everything && listing->more && !answer.records.empty()) {
    answer.continue_token = encode_token({revision, answer.records.back()->key});
    answer.remaining = static_cast<std::int64_t>(listing->remaining);
  }
  answer.resource_version = std::to_string(revision);
  return answer;
}

}  // namespace berth::registry
