#include "apiserver/registry/conversion.h"

namespace berth::apiserver::registry {

const api::schema::Kind& storage_kind(const api::schema::Kind& kind) { return *strategy_of(kind).storage_kind; }

Value to_storage(const api::schema::Kind& kind, Value object) {
  const KindConversion* conversion = strategy_of(kind).conversion;
  return conversion == nullptr ? object : conversion->to_storage(std::move(object));
}

Value from_storage(const api::schema::Kind& kind, Value object) {
  const KindConversion* conversion = strategy_of(kind).conversion;
  return conversion == nullptr ? object : conversion->from_storage(std::move(object));
}

store::RecordPtr view_of(const api::schema::Kind& kind, const store::RecordPtr& record) {
  const KindConversion* conversion = strategy_of(kind).conversion;
  if (conversion == nullptr || !record) return record;
  return std::make_shared<store::Record>(record->key, conversion->from_storage(record->value), record->create_revision,
                                         record->mod_revision);
}

}  // namespace berth::apiserver::registry
