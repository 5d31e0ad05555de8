#pragma once
// The bytes that a socket has to send: a queue of pieces that share their owners; small ones are copied together.

#include <sys/uio.h>

#include <memory>
#include <string_view>
#include <vector>

#include "http/server.h"

namespace berth::http {

class OutQueue {
 public:
  bool empty() const { return bytes_ == 0; }
  std::size_t bytes() const { return bytes_; }

  void push(SharedBytes piece);        // shares, unless it is so small that copying is cheaper
  void append(std::string_view text);  // copies
  // The first runs, for sendmsg. Returns how many.
  int gather(iovec* runs, int most) const;
  // The first run.
  std::string_view front() const { return items_[head_].bytes; }
  std::size_t copy_prefix(char* to, std::size_t room) const;
  void consume(std::size_t bytes);
  // Moves the first bytes (bytes <= this->bytes()) to the end of another queue.
  void move_to(OutQueue& other, std::size_t bytes);
  void clear();

 private:
  std::vector<SharedBytes> items_;
  std::size_t head_ = 0;
  std::size_t bytes_ = 0;
  std::shared_ptr<char[]> chunk_;    // append() copies into it
  std::size_t used_ = 0, room_ = 0;  // bytes of it
};

}  // namespace berth::http
