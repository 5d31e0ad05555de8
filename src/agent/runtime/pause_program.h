#pragma once
// The first process of a process namespace that the containers of a pod share.

#include "base/files.h"
#include "base/result.h"

namespace berth::agent {

// A program that waits until it is killed, as a memory file to be executed (execveat). A container that may
// trace it sees no memory of the agent's and no libraries. Execute it with SIGCHLD ignored and all other signals
// blocked: it inherits both, so that the kernel reaps processes without a parent and only SIGKILL ends it.
// kUnimplemented: there is no such program for this processor.
Result<Fd> pause_program();

}  // namespace berth::agent
