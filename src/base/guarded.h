#pragma once
// While one of these lives, a broken invariant (BERTH_CHECK) on its thread throws BrokenInvariant instead of ending the
// process. Only around code that changes nothing outside itself: a planner that meets an object it cannot read.

#include <exception>
#include <string>

namespace berth {

class BrokenInvariant : public std::exception {
 public:
  explicit BrokenInvariant(std::string text) : text_(std::move(text)) {}
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  std::string text_;
};

class InvariantsThrow {
 public:
  InvariantsThrow();
  ~InvariantsThrow();
  InvariantsThrow(const InvariantsThrow&) = delete;
};

}  // namespace berth
