#include "base/loop.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <deque>
#include <limits>
#include <mutex>
#include <system_error>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/check.h"
#include "base/files.h"
#include "base/thread_pool.h"

namespace berth {
namespace {

constexpr std::uint64_t kWakeKey = ~std::uint64_t{0};
constexpr int kEventsPerRound = 128;
// After so long an I/O helper runs no further task: its own sockets wait meanwhile.
constexpr Duration kHelperTurn = 200us;

// The loop whose turn this thread has.
thread_local const Loop* turn_of_thread = nullptr;

// Gives this thread the turn of a loop, and the one it had before back at the end: a task of one loop may run tasks of
// another (run_or_post).
class TurnScope {
 public:
  explicit TurnScope(const Loop* loop) : before_(std::exchange(turn_of_thread, loop)) {}
  ~TurnScope() { turn_of_thread = before_; }
  TurnScope(const TurnScope&) = delete;

 private:
  const Loop* before_;
};

Duration clock_value(clockid_t clock) {
  timespec t{};
  ::clock_gettime(clock, &t);
  return std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec);
}

// Waits for events; a negative `wait` is for ever. An interrupted wait is one without events. epoll_wait counts in
// milliseconds, which would fire each timer up to one late; epoll_pwait2 counts in nanoseconds.
int wait_for_events(int epoll, epoll_event* events, Duration wait) {
  timespec t{};
  if (wait >= Duration::zero()) {
    t.tv_sec = wait.count() / 1'000'000'000;
    t.tv_nsec = wait.count() % 1'000'000'000;
  }
  int n = ::epoll_pwait2(epoll, events, kEventsPerRound, wait < Duration::zero() ? nullptr : &t, nullptr);
  if (n < 0 && (errno == ENOSYS || errno == EPERM)) {  // an old kernel, or a seccomp profile older than the call
    int ms = -1;
    if (wait >= Duration::zero()) {
      ms = static_cast<int>(std::min<std::int64_t>((wait.count() + 999'999) / 1'000'000, 1'000'000'000));
    }
    n = ::epoll_wait(epoll, events, kEventsPerRound, ms);
  }
  BERTH_CHECK(n >= 0 || errno == EINTR, "epoll_wait failed");
  return std::max(n, 0);
}

struct Watch {
  std::uint32_t generation = 0;  // differs between watches of the same descriptor number
  std::uint32_t events = 0;
  Function<void(std::uint32_t)> ready;
};

struct Due {
  Duration at;
  TimerId id;
  // std::*_heap keeps the largest first; the earliest must be. Equal times fire in the order they were set.
  bool operator<(const Due& other) const { return at != other.at ? at > other.at : id > other.id; }
};

}  // namespace

struct Loop::Impl {
  Impl(Loop& loop, int pool_threads) : pool(loop, pool_threads) {}

  Fd epoll, wake;
  ThreadPool pool;

  std::mutex mutex;  // guards the rest of this block
  std::deque<Task> posted;
  enum class Turn {
    kOwner,   // the thread that drives the loop is awake or about to be
    kFree,    // that thread waits in epoll_wait, or is about to, and needs a signal()
    kHelper,  // an I/O helper runs tasks; the owner may sleep on
  };
  Turn turn = Turn::kOwner;
  bool stopping = false;
  bool owner_waits = false;  // the owner has woken up while a helper has the turn
  std::condition_variable turn_over;
  // A thread is in run(). Written with the mutex held; on_loop() reads it without.
  std::atomic<bool> in_run{false};

  // The rest belongs to the thread that has the turn. The mutex is locked in between, so each turn sees the last one's
  // writes.
  Duration asleep_until{};     // of the owner
  IoHelper* helper = nullptr;  // null in the owner's turn

  std::deque<Task> running;  // moved from `posted`, to be run in this round

  std::vector<Due> heap;  // may have cancelled ids: finding one to erase would cost O(n)
  std::unordered_map<TimerId, Task> timers;
  TimerId last_timer = 0;

  std::vector<std::shared_ptr<Watch>> watches;  // by descriptor
  std::uint32_t last_generation = 0;

  std::array<std::uint64_t, 64> random_words{};
  std::size_t random_used = 64;

  void signal() {
    std::uint64_t one = 1;
    // Cannot fail: the counter is at most 1.
    [[maybe_unused]] auto n = ::write(wake.get(), &one, sizeof one);
  }

  void pop_cancelled() {
    while (!heap.empty() && !timers.contains(heap.front().id)) {
      std::pop_heap(heap.begin(), heap.end());
      heap.pop_back();
    }
  }

  // The earliest timer, or the end of time.
  Duration next_timer() {
    pop_cancelled();
    return heap.empty() ? Duration::max() : heap.front().at;
  }

  // How long the loop may sleep; negative is for ever. Frees the turn where that is not zero: under the same lock that
  // finds no posted task, so that a later post() sees a free turn and signals.
  Duration prepare_to_sleep(Duration wait, Duration now) {
    const Duration next = next_timer();
    Duration limit = wait;
    if (next != Duration::max() && (limit < Duration::zero() || next - now < limit)) {
      limit = std::max(next - now, Duration::zero());
    }
    if (!running.empty()) limit = Duration::zero();
    std::lock_guard lock(mutex);
    if (!posted.empty() || stopping) limit = Duration::zero();
    if (limit == Duration::zero()) return limit;
    turn = Turn::kFree;
    asleep_until = limit < Duration::zero() ? Duration::max() : now + limit;
    return limit;
  }

  void reclaim_turn() {
    std::unique_lock lock(mutex);
    owner_waits = true;
    turn_over.wait(lock, [this] { return turn != Turn::kHelper; });
    owner_waits = false;
    turn = Turn::kOwner;
  }

  // Ends the turn of a helper. The caller holds the mutex. True: the owner sleeps in epoll_wait although there is
  // something to do, and needs a signal().
  bool end_helper_turn() {
    const bool due = !posted.empty() || stopping || next_timer() < asleep_until;
    turn = due || owner_waits ? Turn::kOwner : Turn::kFree;
    if (owner_waits) turn_over.notify_one();
    return due && !owner_waits;
  }

  void dispatch(const epoll_event& event) {
    if (event.data.u64 == kWakeKey) {
      std::uint64_t count;
      [[maybe_unused]] auto n = ::read(wake.get(), &count, sizeof count);
      return;
    }
    auto fd = static_cast<std::size_t>(event.data.u64 & 0xffffffff);
    auto generation = static_cast<std::uint32_t>(event.data.u64 >> 32);
    if (fd >= watches.size() || !watches[fd] || watches[fd]->generation != generation) return;
    // A closed descriptor's number may have been reused in this round: events of the former one have its generation.
    auto watch = watches[fd];  // held here: the callback may unwatch itself
    // change_fd() may have run since the kernel reported.
    auto events = event.events & (watch->events | EPOLLERR | EPOLLHUP);
    if (events) watch->ready(events);
  }

  void fire_timers(Duration now) {
    // Timers set by these tasks wait for the next round, however short they are.
    TimerId newest = last_timer;
    std::vector<Due> later;
    for (;;) {
      pop_cancelled();
      if (heap.empty() || heap.front().at > now) break;
      Due due = heap.front();
      std::pop_heap(heap.begin(), heap.end());
      heap.pop_back();
      if (due.id > newest) {
        later.push_back(due);
        continue;
      }
      auto found = timers.find(due.id);  // there: pop_cancelled() has removed the others from the front
      Task task = std::move(found->second);
      timers.erase(found);
      task();
    }
    for (const Due& due : later) {
      heap.push_back(due);
      std::push_heap(heap.begin(), heap.end());
    }
  }

  void run_posted() {
    {
      std::lock_guard lock(mutex);
      std::move(posted.begin(), posted.end(), std::back_inserter(running));
      posted.clear();
    }
    // Tasks posted by these run in the next round, so that descriptors and timers get their turn in between.
    for (std::size_t n = running.size(); n > 0 && !running.empty(); --n) {
      Task task = std::move(running.front());
      running.pop_front();
      task();
    }
  }
};

Loop::Loop(int pool_threads) : impl_(std::make_unique<Impl>(*this, pool_threads)) {
  impl_->epoll = Fd(::epoll_create1(EPOLL_CLOEXEC));
  BERTH_CHECK(impl_->epoll, "epoll_create1 failed");
  impl_->wake = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  BERTH_CHECK(impl_->wake, "eventfd failed");
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kWakeKey;
  BERTH_CHECK(::epoll_ctl(impl_->epoll.get(), EPOLL_CTL_ADD, impl_->wake.get(), &event) == 0, "epoll_ctl failed");
}

Loop::~Loop() {
  impl_->pool.close();
  // Destructors of tasks may post, cancel and unwatch, so the containers are emptied while all members still exist.
  for (;;) {
    auto watches = std::exchange(impl_->watches, {});
    auto timers = std::exchange(impl_->timers, {});
    auto running = std::exchange(impl_->running, {});
    std::deque<Task> posted;
    {
      std::lock_guard lock(impl_->mutex);
      posted.swap(impl_->posted);
    }
    if (watches.empty() && timers.empty() && running.empty() && posted.empty()) return;
  }
}

bool Loop::on_loop() const { return turn_of_thread == this || !impl_->in_run.load(std::memory_order_relaxed); }

void LoopAffinity::fail() {
  BERTH_CHECK(false, "called off the loop thread");
  std::abort();
}

void Loop::run() {
  TurnScope turn(this);
  for (;;) {
    {
      std::lock_guard lock(impl_->mutex);
      impl_->in_run.store(!impl_->stopping, std::memory_order_relaxed);
      if (std::exchange(impl_->stopping, false)) return;
    }
    run_once(Duration::max());
  }
}

void Loop::stop() {
  // Signals with the mutex held: once run() can see `stopping`, it may return and the loop be destroyed.
  std::lock_guard lock(impl_->mutex);
  impl_->stopping = true;
  if (impl_->turn != Impl::Turn::kFree) return;
  impl_->turn = Impl::Turn::kOwner;
  impl_->signal();
}

void Loop::run_once(Duration wait) {
  wait = wait == Duration::max() ? Duration(-1) : std::max(wait, Duration::zero());
  std::array<epoll_event, kEventsPerRound> events;
  int n = wait_for_events(impl_->epoll.get(), events.data(), impl_->prepare_to_sleep(wait, monotonic()));
  impl_->reclaim_turn();
  for (int i = 0; i < n; ++i) impl_->dispatch(events[static_cast<std::size_t>(i)]);
  impl_->fire_timers(monotonic());
  impl_->run_posted();
}

Time Loop::now() const { return Time(clock_value(CLOCK_REALTIME)); }
Duration Loop::monotonic() const { return clock_value(CLOCK_MONOTONIC); }

void Loop::post(Task task) {
  bool wake;
  {
    std::lock_guard lock(impl_->mutex);
    impl_->posted.push_back(std::move(task));
    wake = impl_->turn == Impl::Turn::kFree;
    if (wake) impl_->turn = Impl::Turn::kOwner;
  }
  if (wake) impl_->signal();  // without the mutex, which the woken loop thread locks first
}

void Loop::run_or_post(Task task, IoHelper* helper) {
  Impl& state = *impl_;
  std::unique_lock lock(state.mutex);
  if (state.turn != Impl::Turn::kFree || !state.in_run.load(std::memory_order_relaxed)) {
    lock.unlock();
    return post(std::move(task));
  }
  state.turn = Impl::Turn::kHelper;  // no task waits: `posted` is empty while the turn is free
  state.helper = helper;
  TurnScope turn(this);
  const Duration until = monotonic() + kHelperTurn;
  bool wake;
  for (;;) {
    lock.unlock();
    task();
    task = nullptr;  // destroyed in the turn: what it captured may belong to the loop
    lock.lock();
    if (state.posted.empty() || state.owner_waits || state.stopping || monotonic() >= until) {
      state.helper = nullptr;
      wake = state.end_helper_turn();
      break;
    }
    task = std::move(state.posted.front());
    state.posted.pop_front();
  }
  lock.unlock();
  if (wake) state.signal();
}

IoHelper* Loop::io_helper() const {
  BERTH_CHECK(on_loop(), "the I/O helper is asked for off the loop thread");
  return impl_->helper;
}

TimerId Loop::after(Duration delay, Task task) {
  BERTH_CHECK(on_loop(), "a timer is set off the loop thread");
  Duration now = monotonic();
  delay = std::clamp(delay, Duration::zero(), Duration::max() - now);
  TimerId id = ++impl_->last_timer;
  impl_->timers.emplace(id, std::move(task));
  impl_->heap.push_back({now + delay, id});
  std::push_heap(impl_->heap.begin(), impl_->heap.end());
  return id;
}

void Loop::cancel(TimerId id) {
  BERTH_CHECK(on_loop(), "a timer is cancelled off the loop thread");
  auto found = impl_->timers.find(id);
  if (found == impl_->timers.end()) return;
  Task task = std::move(found->second);  // destroyed last: its destructor may come back here
  impl_->timers.erase(found);
  // A timer that is set and cancelled for every request must not fill the heap until its time comes.
  auto& heap = impl_->heap;
  if (heap.size() > 64 && heap.size() > 2 * impl_->timers.size()) {
    std::erase_if(heap, [this](const Due& due) { return !impl_->timers.contains(due.id); });
    std::make_heap(heap.begin(), heap.end());
  }
}

void Loop::offload(Task work, Task done) {
  BERTH_CHECK(on_loop(), "work is offloaded off the loop thread");
  impl_->pool.submit(std::move(work), std::move(done));
}

std::uint64_t Loop::random() {
  BERTH_CHECK(on_loop(), "random bits are read off the loop thread");
  Impl& s = *impl_;
  if (s.random_used == s.random_words.size()) {
    auto* at = reinterpret_cast<char*>(s.random_words.data());
    std::size_t left = sizeof s.random_words;
    while (left > 0) {
      ssize_t n = ::getrandom(at, left, 0);
      BERTH_CHECK(n >= 0 || errno == EINTR, "getrandom failed");
      if (n > 0) {
        at += n;
        left -= static_cast<std::size_t>(n);
      }
    }
    s.random_used = 0;
  }
  // A word that has been handed out is not kept in memory: it may have become part of a secret.
  return std::exchange(s.random_words[s.random_used++], 0);
}

Status Loop::watch_fd(int fd, std::uint32_t events, Function<void(std::uint32_t)> ready) {
  BERTH_CHECK(on_loop(), "a descriptor is watched off the loop thread");
  if (fd < 0) return errno_error("watching a descriptor", EBADF);
  Impl& s = *impl_;
  auto watch = std::make_shared<Watch>();
  watch->generation = ++s.last_generation;
  watch->events = events;
  watch->ready = std::move(ready);
  epoll_event event{};
  event.events = events;
  event.data.u64 = (std::uint64_t{watch->generation} << 32) | static_cast<std::uint32_t>(fd);
  auto index = static_cast<std::size_t>(fd);
  bool known = index < s.watches.size() && s.watches[index];
  int failed = ::epoll_ctl(s.epoll.get(), known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event);
  // A closed descriptor leaves epoll by itself, and its number may be a new descriptor's now.
  if (failed && known && errno == ENOENT) failed = ::epoll_ctl(s.epoll.get(), EPOLL_CTL_ADD, fd, &event);
  if (failed) return errno_error("watching descriptor " + std::to_string(fd));
  if (index >= s.watches.size()) s.watches.resize(index + 1);
  std::swap(s.watches[index], watch);  // the former callback is destroyed on return, when the table is consistent
  return {};
}

Status Loop::change_fd(int fd, std::uint32_t events) {
  BERTH_CHECK(on_loop(), "a descriptor is changed off the loop thread");
  Impl& s = *impl_;
  auto index = static_cast<std::size_t>(fd);
  if (fd < 0 || index >= s.watches.size() || !s.watches[index]) {
    return errno_error("changing descriptor " + std::to_string(fd), ENOENT);
  }
  epoll_event event{};
  event.events = events;
  event.data.u64 = (std::uint64_t{s.watches[index]->generation} << 32) | static_cast<std::uint32_t>(fd);
  if (::epoll_ctl(s.epoll.get(), EPOLL_CTL_MOD, fd, &event) != 0) {
    return errno_error("changing descriptor " + std::to_string(fd));
  }
  s.watches[index]->events = events;
  return {};
}

void Loop::unwatch_fd(int fd) {
  BERTH_CHECK(on_loop(), "a descriptor is unwatched off the loop thread");
  Impl& s = *impl_;
  auto index = static_cast<std::size_t>(fd);
  if (fd < 0 || index >= s.watches.size() || !s.watches[index]) return;
  auto watch = std::move(s.watches[index]);
  s.watches[index] = nullptr;
  ::epoll_ctl(s.epoll.get(), EPOLL_CTL_DEL, fd, nullptr);  // fails where the caller closed it first; gone either way
}

}  // namespace berth
