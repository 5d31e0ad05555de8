#include "base/check.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "base/guarded.h"

namespace berth {
namespace {
thread_local int guards = 0;
}

InvariantsThrow::InvariantsThrow() { ++guards; }
InvariantsThrow::~InvariantsThrow() { --guards; }

void check_failed(const char* file, int line, const char* condition, const char* message) {
  if (guards > 0) throw BrokenInvariant(std::string(message) + " [" + condition + "]");
  // No allocation and no locks of ours: the heap or a lock may be what is broken.
  char text[1024];
  int length = std::snprintf(text, sizeof text, "%s:%d: broken invariant: %s [%s]\n", file, line, message, condition);
  if (length >= static_cast<int>(sizeof text)) length = sizeof text - 1;
  if (length > 0 && ::write(STDERR_FILENO, text, static_cast<std::size_t>(length)) < 0) std::abort();
  std::abort();
}

}  // namespace berth
