#include <signal.h>
#include <sys/stat.h>

#include "base/fault.h"
#include "cli/commands.h"
#include "main/roles.h"
#include "main/supervisor.h"

int main(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN);
  // Files have the modes that the code names, whatever the shell's umask; what is secret is named so.
  ::umask(022);
  berth::fault::arm_from_environment();
  return berth::cli::run(argc, argv, {berth::run_server, berth::run_agent, berth::run_supervisor});
}
