#include "store/store.h"

namespace berth::store {

Record::Record(std::string key, Value value, Revision created, Revision modified)
    : key(std::move(key)), value(std::move(value)), create_revision(created), mod_revision(modified) {}

Record::~Record() { delete json_.load(std::memory_order_acquire); }

const std::shared_ptr<const std::string>& Record::shared_json() const {
  using Text = std::shared_ptr<const std::string>;
  if (const Text* made = json_.load(std::memory_order_acquire)) return *made;
  thread_local std::string scratch;  // encode here first, so that the stored string has no spare capacity
  scratch.clear();
  json::encode_to(value, scratch);
  auto mine = std::make_unique<const Text>(std::make_shared<const std::string>(scratch));
  const Text* winner = nullptr;
  if (json_.compare_exchange_strong(winner, mine.get(), std::memory_order_acq_rel)) return *mine.release();
  return *winner;  // another thread has stored its text first
}

}  // namespace berth::store
