#pragma once
// How often each daemon of a cluster was restarted since `berth up`, and when the next restart is due, for those who
// look.

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/runtime.h"

namespace berth::host {

// What the supervisor does about a daemon that does not run.
struct NextStart {
  Time at{};
  int ends = 0;      // in a row, without having run for long in between
  Time first_end{};  // of these
  std::string why;   // it does not run
};

struct Restarts {
  std::string role;
  int count = 0;
  Time last{};
  std::string why;                // how the process before ended
  std::optional<NextStart> next;  // while the supervisor waits for it
};

Status write_restarts(const std::string& file, const std::vector<Restarts>& all);
// None where nothing is written of the role.
Restarts read_restarts(const std::string& file, const std::string& role);
// "restarted 2 times, last at 2026-01-02T03:04:05Z: killed by signal 9 (Killed)"; empty where it never was.
std::string describe(const Restarts& restarts);
// "starts again in 12s (5 ends in 3m)"; "starts again now" where it is due.
std::string describe(const NextStart& next, Time now);

}  // namespace berth::host
