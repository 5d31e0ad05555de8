#include "agent/node/pod_shutdown.h"

#include <signal.h>

#include <algorithm>

#include "base/files.h"
#include "base/log.h"
#include "base/text.h"

namespace berth::agent {
namespace {

constexpr Duration kKillTakes = std::chrono::seconds(3);  // at most, for the last of them

std::int64_t whole_seconds(Duration time) { return std::chrono::duration_cast<std::chrono::seconds>(time).count(); }

}  // namespace

std::vector<ShutdownLine> read_shutdown_progress(const std::string& path) {
  std::vector<ShutdownLine> out;
  Result<std::string> text = read_file(path);
  if (!text.ok()) return out;
  for (std::string_view line : split(*text, '\n')) {
    const Cut verb = cut(line, " ");
    const Cut seconds = cut(verb.after, " ");
    Result<long> number = parse_int(seconds.before);
    if (number.ok() && !seconds.after.empty())
      out.push_back({std::string(seconds.after), *number, verb.before == "killed"});
  }
  return out;
}

PodShutdown::PodShutdown(Runtime& runtime, ContainerRuntime& containers, Config config, Task done)
    : runtime_(runtime), containers_(containers), config_(std::move(config)), done_(std::move(done)) {}

PodShutdown::~PodShutdown() {
  if (timer_ != 0) runtime_.cancel(timer_);
}

void PodShutdown::start() {
  containers_.on_change([this](const ContainerStatus& status) {
    if (status.state == ContainerState::kExited) ended(status);
  });
  containers_.recover([this](Result<std::vector<ContainerStatus>> all) {
    if (!all.ok()) return finish();
    began_ = runtime_.monotonic();
    for (const ContainerStatus& status : *all) {
      if (status.state == ContainerState::kRunning) waiting_[status.id].pod = pod_of(status);
      if (status.state == ContainerState::kExited) ended(status);
    }
    started_ = true;
    tell();
    if (waiting_.empty()) return finish();
    const auto all_waiting = waiting_;
    for (const auto& [id, one] : all_waiting) containers_.signal_container(id, SIGTERM, [](Status) {});
    kill_what_is_due();
  });
}

ShutdownPod PodShutdown::pod_of(const ContainerStatus& status) const {
  auto known = config_.pods.find(status.pod_uid);
  ShutdownPod pod = known != config_.pods.end() ? known->second : ShutdownPod{status.pod_uid, kUnknownGrace};
  if (config_.most) pod.grace = std::min(pod.grace, *config_.most);
  return pod;
}

void PodShutdown::kill_what_is_due() {
  timer_ = 0;
  const Duration now = runtime_.monotonic() - began_;
  std::optional<Duration> next;
  const auto all_waiting = waiting_;
  for (const auto& [id, one] : all_waiting) {
    if (one.killed) continue;
    if (one.pod.grace > now) {
      next = next ? std::min(*next, one.pod.grace) : one.pod.grace;
      continue;
    }
    waiting_[id].killed = true;
    killed_[one.pod.name] = whole_seconds(now);
    containers_.kill_container(id, [](Status) {});
  }
  if (!killed_.empty()) tell();
  timer_ = runtime_.after(next ? *next - now : kKillTakes, [this, last = !next] {
    timer_ = 0;
    last ? finish() : kill_what_is_due();
  });
}

void PodShutdown::tell() const {
  std::map<std::string, std::int64_t> pods;
  for (const auto& [id, one] : waiting_) pods[one.pod.name] = whole_seconds(one.pod.grace);
  std::string text;
  for (const auto& [name, seconds] : pods) {
    if (!killed_.contains(name)) text += "waits " + std::to_string(seconds) + " " + name + "\n";
  }
  for (const auto& [name, seconds] : killed_) text += "killed " + std::to_string(seconds) + " " + name + "\n";
  if (Status told = write_file(config_.progress_file, text, 0600); !told.ok())
    log_warning("agent", "which pods are waited for is not told", {{"error", told.error().message}});
}

void PodShutdown::ended(const ContainerStatus& status) {
  ends_[status.id] = {status.exit_code, status.oom_killed, status.finished};
  const bool awaited = waiting_.erase(status.id) > 0;
  if (!started_) return;
  if (waiting_.empty()) return finish();
  if (awaited) tell();
}

void PodShutdown::finish() {
  if (finished_) return;
  finished_ = true;
  Status kept = write_container_ends(config_.ends_file, ends_);
  if (!kept.ok()) log_warning("agent", "how the containers ended is not kept", {{"error", kept.error().message}});
  done_();
}

}  // namespace berth::agent
