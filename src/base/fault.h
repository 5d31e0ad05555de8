#pragma once
// Named places where a test can make something fail: `if (fault::hit("store.fsync")) return errno_error("fsync", EIO);`
// Off unless armed; one relaxed load when nothing is armed. Armed by tests, or by BERTH_FAULTS="name=count,name=p0.1".

#include <functional>
#include <string>
#include <string_view>

namespace berth::fault {

bool hit(std::string_view name);
// A step of work that leaves something behind on this machine: a file, a mount, a process, a word to somebody else.
// Armed, the process is killed there (SIGKILL), as may happen at any time; whoever comes next has to find its way from
// there.
void step(std::string_view name);
// Called at every step, armed or not, on the thread that takes it. For tests, before there are threads; null ends it.
void on_step(std::function<void(std::string_view)> taken);
void arm(const std::string& name, int times);             // the next `times` hits fail
void arm_probability(const std::string& name, double p);  // each hit fails with probability p
void disarm_all();
void arm_from_environment();  // BERTH_FAULTS

}  // namespace berth::fault
