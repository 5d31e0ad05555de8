#include "main/pod_shutdown.h"

#include <signal.h>

namespace berth {

using agent::ContainerState;
using agent::ContainerStatus;

PodShutdown::PodShutdown(Loop& loop, agent::ContainerRuntime& containers, Task done, Duration grace)
    : loop_(loop), containers_(containers), done_(std::move(done)), grace_(grace) {}

PodShutdown::~PodShutdown() {
  if (timer_ != 0) loop_.cancel(timer_);
}

void PodShutdown::start() {
  containers_.on_change([this](const ContainerStatus& status) {
    if (status.state == ContainerState::kExited) ended(status.id);
  });
  containers_.recover([this](Result<std::vector<ContainerStatus>> all) {
    if (!all.ok()) return finish();
    for (const ContainerStatus& status : *all) {
      if (status.state == ContainerState::kRunning) waiting_.insert(status.id);
    }
    started_ = true;
    if (waiting_.empty()) return finish();
    for (const std::string& id : std::set<std::string>(waiting_)) containers_.signal_container(id, SIGTERM, [](Status) {});
    timer_ = loop_.after(grace_, [this] {
      timer_ = 0;
      for (const std::string& id : std::set<std::string>(waiting_)) containers_.kill_container(id, [](Status) {});
      timer_ = loop_.after(3s, [this] {
        timer_ = 0;
        finish();
      });
    });
  });
}

void PodShutdown::ended(const std::string& id) {
  waiting_.erase(id);
  if (started_ && waiting_.empty()) finish();
}

void PodShutdown::finish() {
  if (finished_) return;
  finished_ = true;
  done_();
}

}  // namespace berth
