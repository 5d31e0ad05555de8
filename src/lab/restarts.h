#pragma once
// How often each daemon of a cluster was restarted since `berth up`, for those who look.

#include <string>
#include <vector>

#include "base/result.h"
#include "base/runtime.h"

namespace berth::lab {

struct Restarts {
  std::string role;
  int count = 0;
  Time last{};
  std::string why;  // how the process before ended
};

Status write_restarts(const std::string& file, const std::vector<Restarts>& all);
// None where nothing is written of the role.
Restarts read_restarts(const std::string& file, const std::string& role);
// "restarted 2 times, last at 2026-01-02T03:04:05Z: killed by signal 9 (Killed)"; empty where it never was.
std::string describe(const Restarts& restarts);

}  // namespace berth::lab
