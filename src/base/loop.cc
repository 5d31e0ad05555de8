#include "base/loop.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <deque>
#include <limits>
#include <mutex>
#include <system_error>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/files.h"
#include "base/thread_pool.h"

namespace berth {
namespace {

constexpr std::uint64_t kWakeKey = ~std::uint64_t{0};
constexpr int kEventsPerRound = 128;
constexpr Duration kHelperTurn = 200us;  // and the task that runs then

Duration clock_value(clockid_t clock) {
  timespec t{};
  ::clock_gettime(clock, &t);
  return std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec);
}

// Waits for events; a negative `wait` is for ever. An interrupted wait is one without events.
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
  std::uint32_t generation = 0;
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

struct Loop::State {
  State(Loop& loop, int pool_threads) : pool(loop, pool_threads) {}

  Fd epoll, wake;
  ThreadPool pool;

  std::mutex mutex;  // guards the rest of this block
  std::deque<Task> posted;
  enum class Turn {
    kOwner,   // the owner of the loop, awake or about to be
    kNobody,  // the owner waits in epoll_wait, or is about to, and needs a signal()
    kHelper,  // another thread runs tasks; the owner may sleep on
  };
  Turn turn = Turn::kOwner;
  bool stopping = false;
  bool takes_helpers = false;  // inside run()
  bool owner_waits = false;    // woken while another has the turn
  std::condition_variable turn_over;

  Duration asleep_until{};     // of the owner; whoever has the turn reads it
  IoHelper* helper = nullptr;  // of whoever has the turn

  std::deque<Task> running;  // taken from `posted`, to be run in this round

  std::vector<Due> heap;  // may hold cancelled ids
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

  void drop_cancelled_front() {
    while (!heap.empty() && !timers.contains(heap.front().id)) {
      std::pop_heap(heap.begin(), heap.end());
      heap.pop_back();
    }
  }

  // The earliest timer, or the end of time.
  Duration next_timer() {
    drop_cancelled_front();
    return heap.empty() ? Duration::max() : heap.front().at;
  }

  // How long the loop may sleep; negative is for ever. Gives the turn away where that is not zero.
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
    turn = Turn::kNobody;
    asleep_until = limit < Duration::zero() ? Duration::max() : now + limit;
    return limit;
  }

  void take_turn_back() {
    std::unique_lock lock(mutex);
    owner_waits = true;
    turn_over.wait(lock, [this] { return turn != Turn::kHelper; });
    owner_waits = false;
    turn = Turn::kOwner;
  }

  // With the mutex held, and the turn. True where the owner sleeps in epoll_wait although there is something to do.
  bool return_turn() {
    const bool due = !posted.empty() || stopping || next_timer() < asleep_until;
    turn = due || owner_waits ? Turn::kOwner : Turn::kNobody;
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
    auto watch = watches[fd];  // lives through its own unwatch
    // change_fd() may have run since the kernel reported.
    auto events = event.events & (watch->events | EPOLLERR | EPOLLHUP);
    if (events) watch->ready(events);
  }

  void fire_timers(Duration now) {
    // Timers set by these tasks wait for the next round, however short they are.
    TimerId newest = last_timer;
    std::vector<Due> later;
    for (;;) {
      drop_cancelled_front();
      if (heap.empty() || heap.front().at > now) break;
      Due due = heap.front();
      std::pop_heap(heap.begin(), heap.end());
      heap.pop_back();
      if (due.id > newest) {
        later.push_back(due);
        continue;
      }
      auto found = timers.find(due.id);
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
    for (std::size_t n = running.size(); n > 0 && !running.empty(); --n) {
      Task task = std::move(running.front());
      running.pop_front();
      task();
    }
  }
};

Loop::Loop(int pool_threads) : state_(std::make_unique<State>(*this, pool_threads)) {
  state_->epoll = Fd(::epoll_create1(EPOLL_CLOEXEC));
  BERTH_CHECK(state_->epoll, "epoll_create1 failed");
  state_->wake = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  BERTH_CHECK(state_->wake, "eventfd failed");
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kWakeKey;
  BERTH_CHECK(::epoll_ctl(state_->epoll.get(), EPOLL_CTL_ADD, state_->wake.get(), &event) == 0, "epoll_ctl failed");
}

Loop::~Loop() {
  state_->pool.close();
  // Tasks that are destroyed may post, cancel and unwatch, so the containers are emptied while the State is whole.
  for (;;) {
    auto watches = std::exchange(state_->watches, {});
    auto timers = std::exchange(state_->timers, {});
    auto running = std::exchange(state_->running, {});
    std::deque<Task> posted;
    {
      std::lock_guard lock(state_->mutex);
      posted.swap(state_->posted);
    }
    if (watches.empty() && timers.empty() && running.empty() && posted.empty()) return;
  }
}

void Loop::run() {
  for (;;) {
    {
      std::lock_guard lock(state_->mutex);
      state_->takes_helpers = !state_->stopping;
      if (std::exchange(state_->stopping, false)) return;
    }
    run_once(Duration::max());
  }
}

void Loop::stop() {
  // Signals inside: the loop may be gone as soon as it can see this.
  std::lock_guard lock(state_->mutex);
  state_->stopping = true;
  if (state_->turn != State::Turn::kNobody) return;
  state_->turn = State::Turn::kOwner;
  state_->signal();
}

void Loop::run_once(Duration wait) {
  wait = wait == Duration::max() ? Duration(-1) : std::max(wait, Duration::zero());
  std::array<epoll_event, kEventsPerRound> events;
  int n = wait_for_events(state_->epoll.get(), events.data(), state_->prepare_to_sleep(wait, monotonic()));
  state_->take_turn_back();
  for (int i = 0; i < n; ++i) state_->dispatch(events[static_cast<std::size_t>(i)]);
  state_->fire_timers(monotonic());
  state_->run_posted();
}

Time Loop::now() const { return Time(clock_value(CLOCK_REALTIME)); }
Duration Loop::monotonic() const { return clock_value(CLOCK_MONOTONIC); }

void Loop::post(Task task) {
  bool wake;
  {
    std::lock_guard lock(state_->mutex);
    state_->posted.push_back(std::move(task));
    wake = state_->turn == State::Turn::kNobody;
    if (wake) state_->turn = State::Turn::kOwner;
  }
  if (wake) state_->signal();  // outside: the loop wants the mutex first thing
}

void Loop::run_or_post(Task task, IoHelper* helper) {
  State& state = *state_;
  std::unique_lock lock(state.mutex);
  if (state.turn != State::Turn::kNobody || !state.takes_helpers) {
    lock.unlock();
    return post(std::move(task));
  }
  state.turn = State::Turn::kHelper;  // nothing is posted where nobody has the turn
  state.helper = helper;
  const Duration until = monotonic() + kHelperTurn;
  bool wake;
  for (;;) {
    lock.unlock();
    task();
    task = nullptr;
    lock.lock();
    if (state.posted.empty() || state.owner_waits || state.stopping || monotonic() >= until) {
      state.helper = nullptr;
      wake = state.return_turn();
      break;
    }
    task = std::move(state.posted.front());
    state.posted.pop_front();
  }
  lock.unlock();
  if (wake) state.signal();
}

IoHelper* Loop::io_helper() const { return state_->helper; }

TimerId Loop::after(Duration delay, Task task) {
  Duration now = monotonic();
  delay = std::clamp(delay, Duration::zero(), Duration::max() - now);
  TimerId id = ++state_->last_timer;
  state_->timers.emplace(id, std::move(task));
  state_->heap.push_back({now + delay, id});
  std::push_heap(state_->heap.begin(), state_->heap.end());
  return id;
}

void Loop::cancel(TimerId id) {
  auto found = state_->timers.find(id);
  if (found == state_->timers.end()) return;
  Task task = std::move(found->second);  // destroyed last: its destructor may come back here
  state_->timers.erase(found);
  // A timer that is set and cancelled for every request must not fill the heap until its time comes.
  auto& heap = state_->heap;
  if (heap.size() > 64 && heap.size() > 2 * state_->timers.size()) {
    std::erase_if(heap, [this](const Due& due) { return !state_->timers.contains(due.id); });
    std::make_heap(heap.begin(), heap.end());
  }
}

void Loop::offload(Task work, Task done) { state_->pool.submit(std::move(work), std::move(done)); }

std::uint64_t Loop::random() {
  State& s = *state_;
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
  return std::exchange(s.random_words[s.random_used++], 0);
}

Status Loop::watch_fd(int fd, std::uint32_t events, Function<void(std::uint32_t)> ready) {
  if (fd < 0) return errno_error("watching a descriptor", EBADF);
  State& s = *state_;
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
  // The number may have been closed and given out again behind our back.
  if (failed && known && errno == ENOENT) failed = ::epoll_ctl(s.epoll.get(), EPOLL_CTL_ADD, fd, &event);
  if (failed) return errno_error("watching descriptor " + std::to_string(fd));
  if (index >= s.watches.size()) s.watches.resize(index + 1);
  std::swap(s.watches[index], watch);  // the former callback dies on return, when the table is in order
  return {};
}

Status Loop::change_fd(int fd, std::uint32_t events) {
  State& s = *state_;
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
  State& s = *state_;
  auto index = static_cast<std::size_t>(fd);
  if (fd < 0 || index >= s.watches.size() || !s.watches[index]) return;
  auto watch = std::move(s.watches[index]);
  s.watches[index] = nullptr;
  ::epoll_ctl(s.epoll.get(), EPOLL_CTL_DEL, fd, nullptr);  // fails where the caller closed it first; gone either way
}

}  // namespace berth
