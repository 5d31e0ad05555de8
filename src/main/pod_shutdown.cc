#include "main/pod_shutdown.h"

#include <signal.h>

#include "base/log.h"

namespace berth {

using agent::ContainerState;
using agent::ContainerStatus;

PodShutdown::PodShutdown(Loop& loop, agent::ContainerRuntime& containers, std::string ends_file, Task done, Duration grace)
    : loop_(loop), containers_(containers), ends_file_(std::move(ends_file)), done_(std::move(done)), grace_(grace) {}

PodShutdown::~PodShutdown() {
  if (timer_ != 0) loop_.cancel(timer_);
}

void PodShutdown::start() {
  containers_.on_change([this](const ContainerStatus& status) {
    if (status.state == ContainerState::kExited) ended(status);
  });
  containers_.recover([this](Result<std::vector<ContainerStatus>> all) {
    if (!all.ok()) return finish();
    for (const ContainerStatus& status : *all) {
      if (status.state == ContainerState::kRunning) waiting_.insert(status.id);
      if (status.state == ContainerState::kExited) ended(status);
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

void PodShutdown::ended(const ContainerStatus& status) {
  ends_[status.id] = {status.exit_code, status.oom_killed, status.finished};
  waiting_.erase(status.id);
  if (started_ && waiting_.empty()) finish();
}

void PodShutdown::finish() {
  if (finished_) return;
  finished_ = true;
  Status kept = agent::write_container_ends(ends_file_, ends_);
  if (!kept.ok()) log_warning("agent", "how the containers ended is not kept", {{"error", kept.error().message}});
  done_();
}

}  // namespace berth
