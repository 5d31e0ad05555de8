#include "apiserver/rest/encodings/encoded_records.h"

#include "apiserver/protobuf/protobuf.h"
#include "base/metrics.h"

namespace berth::apiserver::rest {

std::shared_ptr<const std::string> EncodedRecords::get(const api::schema::Schema& schema,
                                                       const store::RecordPtr& record) {
  static metrics::Counter& made =
      metrics::counter("berth_protobuf_encodings_total", "Stored versions encoded as protobuf for answers");
  auto found = entries_.find(record.get());
  const bool same = found != entries_.end() && found->second.record.lock() == record;
  if (same) {
    if (std::shared_ptr<const std::string> text = found->second.text.lock()) {
      retain(record.get(), found->second, text);
      return text;
    }
  }
  Result<std::string> bytes = protobuf::encode(schema, record->value);
  if (!bytes.ok()) return nullptr;
  made.add();
  auto text = std::make_shared<const std::string>(std::move(*bytes));
  // A record that only this answer holds, such as an Event in the form of another group, has no second reader.
  if (record.use_count() == 1) return text;
  if (!same) {
    if (found != entries_.end()) {
      release(found->second);
      entries_.erase(found);
    }
    if (entries_.size() >= sweep_at_) erase_expired();
    found = entries_.emplace(record.get(), Entry{record, text}).first;
  }
  found->second.text = text;
  retain(record.get(), found->second, text);
  return text;
}

void EncodedRecords::retain(const store::Record* record, Entry& entry, std::shared_ptr<const std::string> text) {
  if (entry.retained) return retained_.splice(retained_.begin(), retained_, *entry.retained);
  if (text->size() > most_) return;
  bytes_ += text->size();
  retained_.push_front({record, std::move(text)});
  entry.retained = retained_.begin();
  while (bytes_ > most_) release(entries_.at(retained_.back().record));
}

void EncodedRecords::release(Entry& entry) {
  if (!entry.retained) return;
  bytes_ -= (*entry.retained)->text->size();
  retained_.erase(*entry.retained);
  entry.retained.reset();
}

void EncodedRecords::erase_expired() {
  for (auto it = entries_.begin(); it != entries_.end();) {
    Entry& entry = it->second;
    if (entry.record.expired()) release(entry);
    it = entry.record.expired() || entry.text.expired() ? entries_.erase(it) : std::next(it);
  }
  sweep_at_ = 2 * entries_.size() + 64;
}

}  // namespace berth::apiserver::rest
