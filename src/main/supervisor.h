#pragma once
// Keeps the server and the agent of a cluster running: starts them, and restarts the one that has died, after a growing
// delay. It owns no resource that they need: if the supervisor is killed they continue, and the next `berth up` starts
// another one.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/function.h"
#include "base/loop.h"
#include "host/daemon.h"

namespace berth {

struct SupervisedRole {
  host::DaemonSpec spec;
  std::function<int()> run;  // runs in a process forked from this one
};

struct SupervisorOptions {
  Duration bring_up = 30s;    // time within which both must be ready
  Duration first_delay = 1s;  // before the second restart in a row; doubles; the first restart is immediate
  Duration longest_delay = 60s;
  Duration long_run = 60s;  // after a run of this length the next restart is immediate again
};

// Starts roles that do not run; adopts those that run already. Loop thread; the process must be single-threaded.
class Supervisor {
 public:
  // `brought_up` is called once: when all roles are ready, or with the reason why one is not; roles started here were
  // stopped by then. `before_start` prepares what a role needs.
  Supervisor(Loop& loop, std::vector<SupervisedRole> roles, std::string restarts_file,
             std::function<Status()> before_start, Function<void(Status)> brought_up, SupervisorOptions options = {});
  ~Supervisor();  // the roles continue to run
  Supervisor(const Supervisor&) = delete;

  void start_all();

 private:
  struct Role;
  void adopt_or_start(Role& role);
  Status start(Role& role);
  void follow(Role& role, int pid, bool child, int ready_fd);
  void read_ready(Role& role);
  void poll_ready(Role& role);
  void on_ready(Role& role);
  void on_end(Role& role);
  void restart(Role& role);
  std::string restart_after(Role& role, Duration delay, std::string why);
  void give_up(const Error& why);
  void write_restarts();

  Loop& loop_;
  std::vector<std::unique_ptr<Role>> roles_;
  std::string restarts_file_;
  std::function<Status()> before_start_;
  Function<void(Status)> brought_up_;
  SupervisorOptions options_;
  TimerId bring_up_timer_ = 0;
};

// Main function of `berth supervise`: SIGTERM stops the supervisor alone.
int run_supervisor(const std::string& data_dir);

}  // namespace berth
