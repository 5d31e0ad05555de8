#pragma once
// How often each daemon of a cluster was restarted since `berth up`, and when the next restart is due; written by the
// supervisor, read by `berth status`.

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/runtime.h"

namespace berth::host {

// A planned start of a daemon that does not run.
struct PlannedStart {
  Time at{};
  int ends = 0;      // consecutive ends, without a long run in between
  Time first_end{};  // the first of them
  std::string why;   // why the daemon does not run
};

struct RestartHistory {
  std::string role;
  int count = 0;
  Time last{};
  std::string why;                   // how the previous process ended
  std::optional<PlannedStart> next;  // set while the supervisor waits to start the daemon
};

Status write_restarts(const std::string& file, const std::vector<RestartHistory>& all);
// A count of 0 if the file has no entry for the role.
RestartHistory read_restarts(const std::string& file, const std::string& role);
// "restarted 2 times, last at 2026-01-02T03:04:05Z: killed by signal 9 (Killed)"; empty if it was never restarted.
std::string describe(const RestartHistory& restarts);
// "starts again in 12s (5 ends in 3m)"; "starts again now" if it is due.
std::string describe(const PlannedStart& next, Time now);

}  // namespace berth::host
