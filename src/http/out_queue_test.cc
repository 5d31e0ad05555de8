// What goes into an OutQueue comes out in order, however the pieces lie in its chunks.
#include "http/out_queue.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace berth::http {
namespace {

// As HTTP over TLS takes it, and as plain sockets do.
std::string content(const OutQueue& queue) {
  std::string copied(queue.bytes(), '\0');
  EXPECT_EQ(queue.copy_prefix(copied.data(), copied.size()), copied.size());
  std::vector<iovec> runs(10'000);
  runs.resize(static_cast<std::size_t>(queue.gather(runs.data(), static_cast<int>(runs.size()))));
  std::string gathered;
  for (const iovec& run : runs) gathered.append(static_cast<const char*>(run.iov_base), run.iov_len);
  EXPECT_EQ(gathered, copied);
  EXPECT_TRUE(copied.starts_with(queue.empty() ? std::string_view() : queue.front()));
  return copied;
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
      queue.push(SharedBytes::of(text));
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

// As HTTP/2 does, whose streams have queues of their own.
TEST(OutQueueTest, KeepsTheOrderOfWhatIsMovedToAnotherQueue) {
  std::mt19937 random(8);
  OutQueue from, to;
  std::string left, moved;
  for (int step = 0; step < 2000; ++step) {
    const std::string text(kSizes[random() % std::size(kSizes)], static_cast<char>('a' + step % 26));
    from.append(text);
    left += text;
    const std::size_t bytes = random() % (left.size() + 1);
    from.move_to(to, bytes);
    moved += left.substr(0, bytes);
    left.erase(0, bytes);
    ASSERT_EQ(content(from), left) << "after step " << step;
    ASSERT_EQ(content(to), moved) << "after step " << step;
    const std::size_t sent = random() % (moved.size() + 1);
    to.consume(sent);
    moved.erase(0, sent);
  }
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
