#pragma once
// Lifetime: lets a callback check whether the object that it was made for still exists.
//
//   class Reader {
//     void read() {
//       pool_.submit(work, [this, alive = lifetime_.guard()] {
//         if (alive) finish();
//       });
//     }
//     Lifetime lifetime_;  // the last member: it ends before the others are destroyed
//   };
//
// An object is destroyed on the thread on which its callbacks run, so it cannot be destroyed while one of them runs on
// another thread.

#include <memory>
#include <utility>

namespace berth {

class Lifetime {
 public:
  // Copied into callbacks; may outlive the object.
  class Guard {
   public:
    explicit operator bool() const { return *alive_; }

   private:
    friend class Lifetime;
    explicit Guard(std::shared_ptr<const bool> alive) : alive_(std::move(alive)) {}
    std::shared_ptr<const bool> alive_;
  };

  Lifetime() = default;
  ~Lifetime() { end(); }
  Lifetime(const Lifetime&) = delete;
  Lifetime& operator=(const Lifetime&) = delete;

  Guard guard() const { return Guard(alive_); }
  // For destructors that still call others: from here on the object counts as destroyed.
  void end() { *alive_ = false; }

 private:
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

// Calls `kept`, a callback that is a member of the guarded object, unless it is null. The callback may destroy that
// object, or set another callback; `kept` is null meanwhile.
template <class F, class... Args>
auto call_member(const Lifetime::Guard& owner, F& kept, Args&&... args) -> decltype(kept(std::forward<Args>(args)...)) {
  if (!kept) return decltype(kept(std::forward<Args>(args)...))();
  F callback = std::move(kept);
  kept = nullptr;
  struct PutBack {
    const Lifetime::Guard& owner;
    F& kept;
    F& callback;
    ~PutBack() {
      if (owner && !kept) kept = std::move(callback);
    }
  } put_back{owner, kept, callback};
  return callback(std::forward<Args>(args)...);
}

}  // namespace berth
