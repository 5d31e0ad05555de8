#pragma once
// The wiring of each role: the only place that picks implementations. Each runs until it is told to stop and answers
// the process's exit code.

#include <string>

namespace berth {

// API server, store, controllers and scheduler, in one process on one loop. SIGTERM ends it in order.
int run_server(const std::string& data_dir);

// The node's agent, inside the node's namespaces. SIGTERM ends it and leaves the containers running; SIGUSR1 ends the
// pods first, each with its grace period.
int run_agent(const std::string& data_dir);

}  // namespace berth
