#include "store/store.h"

namespace berth::store {

Record::Record(std::string key, Value value, Revision created, Revision modified)
    : key(std::move(key)), value(std::move(value)), create_revision(created), mod_revision(modified) {}

Record::~Record() { delete json_.load(std::memory_order_acquire); }

const std::string& Record::json() const {
  if (const std::string* made = json_.load(std::memory_order_acquire)) return *made;
  auto mine = std::make_unique<const std::string>(json::encode(value));
  const std::string* winner = nullptr;
  if (json_.compare_exchange_strong(winner, mine.get(), std::memory_order_acq_rel)) return *mine.release();
  return *winner;  // another thread was faster
}

}  // namespace berth::store
