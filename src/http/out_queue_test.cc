// What goes into an OutQueue comes out in order, however the pieces lie in its chunks.
#include "http/out_queue.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace berth::http {
namespace {

std::string content(const OutQueue& queue) {
  std::string out(queue.bytes(), '\0');
  EXPECT_EQ(queue.copy_prefix(out.data(), out.size()), out.size());
  return out;
}

// Around each size at which a text is put elsewhere: with the next, in a chunk of its own, in a piece of its own.
constexpr std::size_t kSizes[] = {1, 30, 255, 256, 700, 1023, 1024, 1025, 2000, 4095, 4096, 4097, 9000};

TEST(OutQueueTest, KeepsTheOrderOfTextsOfEverySize) {
  std::mt19937 random(7);
  OutQueue queue;
  std::string expected;
  for (int step = 0; step < 5000; ++step) {
    const std::string text(kSizes[random() % std::size(kSizes)], static_cast<char>('a' + step % 26));
    if (random() % 2 == 0) {
      queue.append(text);
    } else {
      queue.push(Piece::of(text));
    }
    expected += text;
    ASSERT_EQ(queue.bytes(), expected.size());
    if (random() % 3 != 0) continue;
    ASSERT_EQ(content(queue), expected) << "after step " << step;
    const std::size_t taken = random() % (expected.size() + 1);
    queue.consume(taken);
    expected.erase(0, taken);
  }
  EXPECT_EQ(content(queue), expected);
}

TEST(OutQueueTest, CopiesSmallTextsIntoOneRun) {
  OutQueue queue;
  for (int i = 0; i < 30; ++i) queue.append("0123456789");
  iovec runs[8];
  EXPECT_EQ(queue.gather(runs, 8), 1);
  EXPECT_EQ(runs[0].iov_len, 300u);
}

}  // namespace
}  // namespace berth::http
