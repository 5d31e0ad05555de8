#include <signal.h>

#include "base/fault.h"
#include "cli/commands.h"
#include "main/roles.h"

int main(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN);
  berth::fault::arm_from_environment();
  return berth::cli::run(argc, argv, {berth::run_server, berth::run_agent});
}
