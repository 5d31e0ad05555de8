#include <signal.h>
#include <sys/stat.h>

#include "base/fault.h"
#include "cli/commands.h"
#include "main/roles.h"
#include "main/supervisor.h"

int main(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN);
  // Files get the modes in the code, whatever the shell's umask; secret files have explicit modes.
  ::umask(022);
  berth::fault::arm_from_environment();
  return berth::cli::run(argc, argv, {berth::run_server, berth::run_agent, berth::run_supervisor});
}
