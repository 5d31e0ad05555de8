#pragma once
// LiveReader: reads past the caches, for decisions that a stale cache must not make (that an owner is gone, that a
// claim is gone). A plan asks; the first time it is told to come again, and by then the answer is there. An answer is
// newer than the question that started it, is given out once, and is worth nothing after a moment. Who asks is part of
// the question (`about`: the uid it is about): an answer that somebody else asked for may be older than what is asked
// about.
//
// Owner: one controller, on its loop. May be destroyed while reads are under way.

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
    std::vector<Value> items;  // of get(): the object, or none where there is none
    bool known() const { return state == kKnown; }
    bool has_uid(std::string_view uid) const;
  };
  Answer get(const api::Resource& resource, const api::Name& name, std::string_view about);
  Answer list(const api::Resource& resource, const std::string& ns, std::string_view about);

  // Makes the plan come again for an answer that is not known yet.
  static void wait(const Answer& answer, Plan& plan);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace berth::controllers
