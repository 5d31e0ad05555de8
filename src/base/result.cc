#include "base/result.h"

#include <cerrno>
#include <cstring>

namespace berth {

Error errno_error(std::string_view what, int errno_value) {
  const char* text = ::strerrordesc_np(errno_value);  // unlike strerror, safe on every thread
  std::string message(what);
  message += ": ";
  message += text ? std::string(text) : "error " + std::to_string(errno_value);
  return error(Code::kInternal, std::move(message));
}

Error errno_error(std::string_view what) { return errno_error(what, errno); }

}  // namespace berth
