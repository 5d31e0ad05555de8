#pragma once
// Named places where a test makes an operation fail: `if (fault::hit("store.fsync")) return errno_error("fsync", EIO);`
// Off unless armed; one relaxed load when nothing is armed. Armed by tests, or by BERTH_FAULTS="name=count,name=p0.1".

#include <functional>
#include <string>
#include <string_view>

namespace berth::fault {

bool hit(std::string_view name);
// A step of work whose effect outlives the process: a file, a mount, a process, a message to another process. Armed,
// the process is killed there (SIGKILL), as may happen at any time; the next one has to recover from that state.
void step(std::string_view name);
// Called at each step(), armed or not, on its thread. For tests, before other threads start; null: no longer.
void on_step(std::function<void(std::string_view)> callback);
void arm(const std::string& name, int times);             // the next `times` hits fail
void arm_probability(const std::string& name, double p);  // each hit fails with probability p
void disarm_all();
void arm_from_environment();  // BERTH_FAULTS

}  // namespace berth::fault
