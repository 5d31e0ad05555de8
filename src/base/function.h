#pragma once
// Function<R(Args...)>: a callable that is moved, never copied, so that it may own what it captures.
// (std::move_only_function arrived after C++20.) Calling an empty Function is a broken invariant.

#include <cstdlib>
#include <memory>
#include <type_traits>
#include <utility>

namespace berth {

template <class Signature>
class Function;

template <class R, class... Args>
class Function<R(Args...)> {
 public:
  Function() = default;
  Function(std::nullptr_t) {}  // NOLINT: an empty function is spelled nullptr, as with std::function

  template <class F>
  requires(!std::is_same_v<std::decay_t<F>, Function> && std::is_invocable_r_v<R, std::decay_t<F>&, Args...>)
      Function(F&& f)
      : holder_(std::make_unique<Holder<std::decay_t<F>>>(std::forward<F>(f))) {}  // NOLINT

  Function(Function&&) noexcept = default;
  Function& operator=(Function&&) noexcept = default;

  explicit operator bool() const { return holder_ != nullptr; }

  R operator()(Args... args) const {
    if (!holder_) std::abort();
    return holder_->call(std::forward<Args>(args)...);
  }

 private:
  struct Base {
    virtual ~Base() = default;
    virtual R call(Args... args) = 0;
  };
  template <class F>
  struct Holder final : Base {
    explicit Holder(F&& f) : f_(std::move(f)) {}
    explicit Holder(const F& f) : f_(f) {}
    R call(Args... args) override {
      if constexpr (std::is_void_v<R>) {
        f_(std::forward<Args>(args)...);
      } else {
        return f_(std::forward<Args>(args)...);
      }
    }
    F f_;
  };
  std::unique_ptr<Base> holder_;
};

using Task = Function<void()>;

}  // namespace berth
