// get and list.
#include "api/status.h"
#include "apiserver/registry/conversion.h"
#include "apiserver/registry/resource_version.h"
#include "apiserver/registry/selectors.h"
#include "apiserver/registry/state.h"
#include "base/json/go_error.h"
#include "base/text.h"

namespace berth::apiserver::registry {
namespace {

struct ContinueToken {
  store::Revision revision = 0;
  std::string start;
};

std::string encode_token(const ContinueToken& token, const std::string& prefix) {
  std::string_view start = std::string_view(token.start).substr(prefix.size());
  return base64url_encode(json::encode(
      Value::object({{"v", "meta.k8s.io/v1"}, {"rv", static_cast<long>(token.revision)}, {"start", start}})));
}

Result<ContinueToken> decode_token(const std::string& text, const std::string& prefix) {
  auto bad = [](const std::string& why) {
    return error(Code::kBadRequest, "invalid continue token: continue key is not valid: " + why);
  };
  Result<std::string> decoded = base64url_decode(text);
  if (!decoded.ok()) return bad("it is not base64");
  Result<Value> value = json::parse(*decoded);
  if (!value.ok()) return bad(json::go_error_text(*decoded, value.error()));
  // The key is relative to its collection: a token of one collection can be used with another, where it means the same
  // name.
  std::string start = (*value)["start"].str();
  if ((*value)["v"].as_string() != "meta.k8s.io/v1" || start.empty())
    return bad("incorrect encoded start resourceVersion or key");
  if (start.find("..") != start.npos) return bad(quoted(start) + " leads out of its collection");
  return ContinueToken{(*value)["rv"].as_int(), prefix + start};
}

Error too_old_token() {
  return error(
      Code::kExpired,
      "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue "
      "parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided "
      "token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was "
      "returned and now may show up in the list.");
}

struct Span {
  store::Revision at = 0;  // 0: now
  std::string after;
};

Result<Span> span_of(Registry::State& state, const ListCall& options, const std::string& prefix) {
  Span span;
  if (!options.continue_token.empty()) {
    if (!options.resource_version.empty() && options.resource_version != "0") {
      return error(Code::kBadRequest, "specifying resource version is not allowed when using continue");
    }
    BERTH_ASSIGN(ContinueToken token, decode_token(options.continue_token, prefix));
    if (token.revision < 0) return Span{0, token.start};
    if (token.revision <= state.store.compacted() && token.revision != state.store.revision()) return too_old_token();
    return Span{token.revision, token.start};
  }
  if (options.resource_version.empty() || options.resource_version == "0") return span;
  Result<store::Revision> parsed = parse_resource_version(options.resource_version);
  if (!parsed.ok()) return error(Code::kBadRequest, "invalid resource version: " + parsed.error().message);
  store::Revision wanted = *parsed;
  if (wanted > state.store.revision()) return too_large_version(wanted, state.store.revision());
  // With a limit, a resourceVersion without resourceVersionMatch means Exact.
  const std::string& match = options.resource_version_match;
  if (match == "Exact" || (match.empty() && options.limit > 0)) span.at = wanted;
  return span;
}

}  // namespace

std::string continue_from_now(const std::string& token) {
  Result<ContinueToken> read = decode_token(token, "");
  return read.ok() ? encode_token({-1, read->start}, "") : std::string();
}

std::string store_key(const api::schema::Kind& kind, std::string_view ns, std::string_view name) {
  const std::string& prefix = strategy_of(kind).key_prefix;
  std::string key;
  key.reserve(prefix.size() + ns.size() + 1 + name.size());
  key.append(prefix);
  if (kind.namespaced && !ns.empty()) key.append(ns).append("/");
  return key.append(name);
}

void Registry::get(const Call& call, Done done) {
  const SubresourceStrategy* subresource = strategy_of(*call.kind).subresource(call.subresource);
  if (subresource != nullptr && subresource->get != nullptr) return subresource->get(state_, call, std::move(done));
  if (!call.resource_version.empty() && call.resource_version != "0") {
    Result<store::Revision> wanted = parse_resource_version(call.resource_version);
    if (!wanted.ok()) return done(wanted.error());
    if (*wanted > state_->store.revision()) return done(too_large_version(*wanted, state_->store.revision()));
  }
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
  if (std::string_view name = selection.fields.exact_name();
      !name.empty() && span.at == 0 && !(call.kind->namespaced && call.ns.empty())) {
    store::RecordPtr record = state.store.get(prefix + std::string(name));
    if (record && selection.matches(record->value)) answer.records.push_back(view_of(*call.kind, record));
    answer.resource_version = std::to_string(state.store.revision());
    return answer;
  }
  // Version 0 asks for whatever is at hand, which upstream's cache gives whole.
  const std::size_t limit = options.resource_version == "0" && options.continue_token.empty() ? 0 : options.limit;
  // With a selector the limit counts what matches, so the pages are cut here.
  Result<store::Listing> listing = fetch(everything ? limit : 0, span.after);
  if (listing.failed_with(Code::kExpired)) {
    return options.continue_token.empty()
               ? error(Code::kExpired, "The resourceVersion for the provided list is too old.")
               : too_old_token();
  }
  if (!listing.ok()) return listing.error();
  revision = listing->revision;
  for (const store::RecordPtr& record : listing->records) {
    if (!everything && !selection.matches(from_storage(*call.kind, record->value))) continue;
    if (!everything && limit > 0 && answer.records.size() == limit) {
      answer.continue_token = encode_token({revision, answer.records.back()->key}, prefix);
      break;
    }
    answer.records.push_back(view_of(*call.kind, record));
  }
  if (everything && listing->more && !answer.records.empty()) {
    answer.continue_token = encode_token({revision, answer.records.back()->key}, prefix);
    answer.remaining = static_cast<std::int64_t>(listing->remaining);
  }
  answer.resource_version = std::to_string(revision);
  return answer;
}

}  // namespace berth::apiserver::registry
