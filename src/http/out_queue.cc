#include "http/out_queue.h"

#include <algorithm>
#include <cstring>

namespace berth::http {

namespace {
constexpr std::size_t kCopyBelow = 256;      // push() copies smaller pieces: cheaper than an entry of its own
constexpr std::size_t kOwnPieceFrom = 4096;  // append() makes a piece of larger texts, instead of growing a chunk
// Most answers are one head, and the allocator (mimalloc) returns blocks of 1 KB much faster than larger ones.
constexpr std::size_t kLeastChunk = 1024;
}  // namespace

void OutQueue::push(SharedBytes piece) {
  if (piece.bytes.empty()) return;
  if (piece.bytes.size() < kCopyBelow) {
    append(piece.bytes);
    return;
  }
  bytes_ += piece.bytes.size();
  items_.push_back(std::move(piece));
}

void OutQueue::append(std::string_view text) {
  if (text.size() >= kOwnPieceFrom) {
    push(SharedBytes::of(std::string(text)));
    return;
  }
  while (!text.empty()) {
    if (!chunk_ || used_ == room_) {
      room_ = std::max(text.size(), kLeastChunk);
      chunk_ = std::shared_ptr<char[]>(new char[room_]);
      used_ = 0;
    }
    std::size_t n = std::min(text.size(), room_ - used_);
    char* at = chunk_.get() + used_;
    std::memcpy(at, text.data(), n);
    used_ += n;
    bytes_ += n;
    // The last piece may end exactly here: then it grows.
    if (head_ < items_.size() && items_.back().owner == chunk_ &&
        items_.back().bytes.data() + items_.back().bytes.size() == at) {
      items_.back().bytes = {items_.back().bytes.data(), items_.back().bytes.size() + n};
    } else {
      items_.push_back(SharedBytes{chunk_, {at, n}});
    }
    text.remove_prefix(n);
  }
}

int OutQueue::gather(iovec* runs, int most) const {
  int n = 0;
  for (std::size_t i = head_; i < items_.size() && n < most; ++i, ++n) {
    runs[n].iov_base = const_cast<char*>(items_[i].bytes.data());
    runs[n].iov_len = items_[i].bytes.size();
  }
  return n;
}

std::size_t OutQueue::copy_prefix(char* to, std::size_t room) const {
  std::size_t filled = 0;
  for (std::size_t i = head_; i < items_.size() && filled < room; ++i) {
    std::size_t n = std::min(items_[i].bytes.size(), room - filled);
    std::memcpy(to + filled, items_[i].bytes.data(), n);
    filled += n;
  }
  return filled;
}

void OutQueue::consume(std::size_t bytes) {
  bytes_ -= bytes;
  while (bytes > 0) {
    SharedBytes& first = items_[head_];
    if (first.bytes.size() > bytes) {
      first.bytes.remove_prefix(bytes);
      break;
    }
    bytes -= first.bytes.size();
    first.owner.reset();
    ++head_;
  }
  if (bytes_ == 0) {
    clear();
  } else if (head_ > 64 && head_ > items_.size() / 2) {
    items_.erase(items_.begin(), items_.begin() + static_cast<std::ptrdiff_t>(head_));
    head_ = 0;
  }
}

void OutQueue::move_to(OutQueue& other, std::size_t bytes) {
  bytes_ -= bytes;
  while (bytes > 0) {
    SharedBytes& first = items_[head_];
    if (first.bytes.size() > bytes) {
      other.push(SharedBytes{first.owner, first.bytes.substr(0, bytes)});
      first.bytes.remove_prefix(bytes);
      break;
    }
    bytes -= first.bytes.size();
    other.push(std::move(first));
    first.owner.reset();
    ++head_;
  }
  if (bytes_ == 0) clear();
}

void OutQueue::clear() {
  // An idle connection keeps no chunk and only a short list.
  if (items_.capacity() > 32) {
    std::vector<SharedBytes>().swap(items_);
  } else {
    items_.clear();
  }
  head_ = 0;
  bytes_ = 0;
  chunk_.reset();
  used_ = 0;
}

}  // namespace berth::http
