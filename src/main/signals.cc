#include "main/signals.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

namespace berth {

Signals::Signals(Loop& loop, std::initializer_list<int> signals, std::function<void(int)> handler) : loop_(loop) {
  sigset_t set;
  sigemptyset(&set);
  for (int signal : signals) sigaddset(&set, signal);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  fd_ = Fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  (void)loop_.watch_fd(fd_.get(), EPOLLIN, [this, handler](std::uint32_t) {
    signalfd_siginfo info{};
    while (::read(fd_.get(), &info, sizeof info) == sizeof info) handler(static_cast<int>(info.ssi_signo));
  });
}

Signals::~Signals() { loop_.unwatch_fd(fd_.get()); }

}  // namespace berth
