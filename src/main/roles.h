#pragma once
// The roles' main functions, which choose the implementations of all interfaces. Each runs until it is stopped by a
// signal and returns the process's exit code.

#include <string>

namespace berth {

// API server, store, controllers and scheduler, in one process on one loop. SIGTERM: orderly shutdown.
int run_server(const std::string& data_dir);

// The node's agent, inside the node's namespaces. SIGTERM stops it and leaves the containers running; SIGUSR1 first
// stops the pods, each with its grace period.
int run_agent(const std::string& data_dir);

}  // namespace berth
