#include "apiserver/rest/encoded_records.h"

#include "apiserver/protobuf/protobuf.h"
#include "base/metrics.h"

namespace berth::apiserver::rest {

std::shared_ptr<const std::string> EncodedRecords::get(const api::schema::Schema& schema,
                                                       const store::RecordPtr& record) {
  static metrics::Counter& made =
      metrics::counter("berth_protobuf_encodings_total", "Stored versions encoded as protobuf for answers");
  auto found = known_.find(record.get());
  const bool same = found != known_.end() && found->second.record.lock() == record;
  if (same) {
    if (std::shared_ptr<const std::string> text = found->second.text.lock()) {
      keep(record.get(), found->second, text);
      return text;
    }
  }
  Result<std::string> bytes = protobuf::encode(schema, record->value);
  if (!bytes.ok()) return nullptr;
  made.add();
  auto text = std::make_shared<const std::string>(std::move(*bytes));
  // What only this answer has, such as an Event in the form of another group, nobody asks for again.
  if (record.use_count() == 1) return text;
  if (!same) {
    if (found != known_.end()) {
      let_go(found->second);
      known_.erase(found);
    }
    if (known_.size() >= look_at_) look_for_expired();
    found = known_.emplace(record.get(), Known{record, text}).first;
  }
  found->second.text = text;
  keep(record.get(), found->second, text);
  return text;
}

void EncodedRecords::keep(const store::Record* record, Known& known, std::shared_ptr<const std::string> text) {
  if (known.kept) return kept_.splice(kept_.begin(), kept_, *known.kept);
  if (text->size() > most_) return;
  bytes_ += text->size();
  kept_.push_front({record, std::move(text)});
  known.kept = kept_.begin();
  while (bytes_ > most_) let_go(known_.at(kept_.back().record));
}

void EncodedRecords::let_go(Known& known) {
  if (!known.kept) return;
  bytes_ -= (*known.kept)->text->size();
  kept_.erase(*known.kept);
  known.kept.reset();
}

void EncodedRecords::look_for_expired() {
  for (auto it = known_.begin(); it != known_.end();) {
    Known& known = it->second;
    if (known.record.expired()) let_go(known);
    it = known.record.expired() || known.text.expired() ? known_.erase(it) : std::next(it);
  }
  look_at_ = 2 * known_.size() + 64;
}

}  // namespace berth::apiserver::rest
