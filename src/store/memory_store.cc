#include <limits>

#include "base/fault.h"
#include "store/queued_store.h"

namespace berth::store {

namespace {

class MemoryLog final : public WriteLog {
 public:
  explicit MemoryLog(Runtime& runtime) : runtime_(runtime) {}

  void append(std::shared_ptr<const WriteBatch> batch, Function<void(Status)> done) override {
    Status status;
    if (fault::hit("store.commit")) status = error(Code::kUnavailable, "the store refused the write (injected fault)");
    runtime_.post([status = std::move(status), done = std::move(done)] { done(status); });
  }
  Revision reserved() const override { return std::numeric_limits<Revision>::max(); }
  void close(Revision) override {}

 private:
  Runtime& runtime_;
};

}  // namespace

std::unique_ptr<Store> open_memory_store(Runtime& runtime, const StoreLimits& limits) {
  return std::make_unique<QueuedStore>(runtime, limits, std::make_unique<VersionedMap>(limits, false),
                                       std::make_unique<MemoryLog>(runtime));
}

}  // namespace berth::store
