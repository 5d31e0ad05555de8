#pragma once
// Result<T>: a value or an Error. The only way our functions report failure; no exception leaves one of them.
//
// A Code exists only where someone reacts to it differently. Text is for people: it names the thing, what was found,
// what is accepted. `api/status.h` is the one place that maps an Error to a Kubernetes Status and back.

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/check.h"

namespace berth {

enum class Code {
  kInvalid,           // 422 Invalid: the request's content is not acceptable
  kBadRequest,        // 400: the request cannot be decoded
  kUnauthorized,      // 401: no valid credentials
  kForbidden,         // 403: the user may not do that
  kNotFound,          // 404
  kMethodNotAllowed,  // 405
  kNotAcceptable,     // 406: no answer of that media type
  kAlreadyExists,     // 409, on create
  kConflict,          // 409: a precondition did not hold; read again
  kExpired,           // 410: that revision has been compacted
  kTooLarge,          // 413
  kUnsupportedMedia,  // 415
  kTooManyRequests,   // 429: e.g. an eviction that a budget does not allow now
  kUnavailable,       // 503: nothing was done; try again later
  kTimeout,           // 504: nothing is known to have been done; try again
  kUnknown,           // it may have been applied; read before trying again
  kUnimplemented,     // 501
  kInternal,          // 500: a defect or a failure of the environment
};

// One failed field of an object: Kubernetes' StatusCause. `reason` is e.g. "FieldValueInvalid".
struct Cause {
  std::string reason;
  std::string message;
  std::string field;  // e.g. "spec.containers[0].name"
};

// What a Status carries in `details`. All optional.
struct ErrorDetails {
  std::string group;
  std::string kind;  // kind or resource name, as upstream puts it
  std::string name;
  std::string uid;
  int retry_after_seconds = 0;
  std::vector<Cause> causes;
};

struct Error {
  Code code = Code::kInternal;
  std::string message;
  std::shared_ptr<const ErrorDetails> details;  // may be null

  // The same error with words put before its message: "reading /x: Permission denied".
  Error in(std::string_view context) const { return Error{code, std::string(context) + ": " + message, details}; }
};

inline Error error(Code code, std::string message) { return Error{code, std::move(message), nullptr}; }
// Code::kInternal with the text of `errno_value` behind `what`.
Error errno_error(std::string_view what, int errno_value);
Error errno_error(std::string_view what);  // from errno

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT
  Result(Error e) : state_(std::in_place_index<1>, std::move(e)) {}      // NOLINT
  template <class U>
  requires(!std::is_same_v<std::decay_t<U>, T> && !std::is_same_v<std::decay_t<U>, Error> &&
           !std::is_same_v<std::decay_t<U>, Result> && std::is_convertible_v<U, T>) Result(U&& value)
      : state_(std::in_place_index<0>, T(std::forward<U>(value))) {}  // NOLINT

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  T& value() & {
    BERTH_CHECK(ok(), "value() of a failed Result");
    return *std::get_if<0>(&state_);
  }
  const T& value() const& {
    BERTH_CHECK(ok(), "value() of a failed Result");
    return *std::get_if<0>(&state_);
  }
  T&& value() && {
    BERTH_CHECK(ok(), "value() of a failed Result");
    return std::move(*std::get_if<0>(&state_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  const Error& error() const {
    BERTH_CHECK(!ok(), "error() of a good Result");
    return *std::get_if<1>(&state_);
  }
  bool failed_with(Code code) const { return !ok() && error().code == code; }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error e) : error_(std::move(e)) {}  // NOLINT
  bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  const Error& error() const {
    BERTH_CHECK(!ok(), "error() of a good Result");
    return *error_;
  }
  bool failed_with(Code code) const { return !ok() && error_->code == code; }

 private:
  std::optional<Error> error_;
};

using Status = Result<void>;
inline Status ok_status() { return {}; }

}  // namespace berth

#define BERTH_CONCAT_(a, b) a##b
#define BERTH_CONCAT(a, b) BERTH_CONCAT_(a, b)
// Returns the error of a Result-valued expression from the enclosing function.
#define BERTH_TRY(expression)                                                                 \
  do {                                                                                        \
    if (auto berth_result_ = (expression); !berth_result_.ok()) return berth_result_.error(); \
  } while (0)
// BERTH_ASSIGN(auto x, expression): x is the value, or the error is returned.
#define BERTH_ASSIGN(declaration, expression) \
  BERTH_ASSIGN_(BERTH_CONCAT(berth_result_, __LINE__), declaration, expression)
#define BERTH_ASSIGN_(result, declaration, expression) \
  auto result = (expression);                          \
  if (!result.ok()) return result.error();             \
  declaration = std::move(result).value()
