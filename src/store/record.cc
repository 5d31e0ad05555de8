#include "store/store.h"

namespace berth::store {

Record::Record(std::string key, Value value, Revision created, Revision modified)
    : key(std::move(key)), value(std::move(value)), create_revision(created), mod_revision(modified) {}

Record::~Record() { delete json_.load(std::memory_order_acquire); }

const std::string& Record::json() const {
  if (const std::string* made = json_.load(std::memory_order_acquire)) return *made;
  thread_local std::string scratch;  // so that what is kept has no room to spare
  scratch.clear();
  json::encode_to(value, scratch);
  auto mine = std::make_unique<const std::string>(scratch);
  const std::string* winner = nullptr;
  if (json_.compare_exchange_strong(winner, mine.get(), std::memory_order_acq_rel)) return *mine.release();
  return *winner;  // another thread was faster
}

}  // namespace berth::store
