#pragma once
// LiveReader: live reads, for decisions that a stale cache must not make (that an owner or a claim is gone). A plan
// calls get() or list(): the first call starts a read and returns kPending; requeue_until_known() requeues the key, and
// the next call returns the answer. An answer is newer than the call that started its read, is returned once, and
// expires after kAnswerLifetime. `about` (the uid of the object that the decision is about) is part of the key: an
// answer read for another object may be older than the present one.
//
// Owner: one controller, on its loop. May be destroyed while reads are in flight.

#include <memory>
#include <string>
#include <vector>

#include "controllers/driver.h"

namespace berth::controllers {

class LiveReader {
 public:
  explicit LiveReader(InformerSet& informers);
  ~LiveReader();

  struct Answer {
    enum State { kPending, kFailed, kKnown } state = kPending;
    std::vector<Value> items;  // of get(): the object, or none if it does not exist
    bool known() const { return state == kKnown; }
    bool has_uid(std::string_view uid) const;
  };
  Answer get(const api::Resource& resource, const api::Name& name, std::string_view about);
  Answer list(const api::Resource& resource, const std::string& ns, std::string_view about);

  // Requeues the plan's key while the answer is pending or failed.
  static void requeue_until_known(const Answer& answer, Plan& plan);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace berth::controllers
