#pragma once
// The first process of a process namespace that the containers of a pod share.

#include "base/files.h"
#include "base/result.h"

namespace berth::agent {

// A program that waits until it is killed, as a memory file to be executed (execveat). It has nothing to be seen in: no
// memory of the agent's, no libraries. Whoever executes it has SIGCHLD ignored and all other signals blocked: both
// stay, so that processes without a parent are reaped by the kernel and only SIGKILL ends it. kUnimplemented where
// there is none for this processor.
Result<Fd> pause_program();

}  // namespace berth::agent
