#pragma once
// Keeps the server and the agent of a cluster running: starts them, and starts again the one that has died, after a
// growing delay. It holds nothing that they need: where it is killed, they go on, and the next `berth up` starts
// another.

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
  std::function<int()> run;  // in a process of its own, forked from this one
};

struct SupervisorOptions {
  Duration bring_up = 30s;    // both must be ready by then
  Duration first_delay = 1s;  // before the second restart in a row; doubles; the first comes at once
  Duration longest_delay = 60s;
  Duration settled = 60s;  // one that has run this long is restarted at once again
};

// What is not running is started; what is running already is looked after. Loop thread; one thread in the process.
class Supervisor {
 public:
  // `brought_up` is called once: when all roles are ready, or with why one is not; those started here have been stopped
  // by then. `before_start` makes sure of what a role needs.
  Supervisor(Loop& loop, std::vector<SupervisedRole> roles, std::string restarts_file,
             std::function<Status()> before_start, Function<void(Status)> brought_up, SupervisorOptions options = {});
  ~Supervisor();  // the roles run on
  Supervisor(const Supervisor&) = delete;

  void begin();

 private:
  struct Role;
  void adopt_or_start(Role& role);
  Status start(Role& role);
  void follow(Role& role, int pid, bool child, int ready_fd);
  void read_ready(Role& role);
  void look_whether_ready(Role& role);
  void ready(Role& role);
  void ended(Role& role);
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

// The role `berth supervise`: SIGTERM ends it alone.
int run_supervisor(const std::string& data_dir);

}  // namespace berth
