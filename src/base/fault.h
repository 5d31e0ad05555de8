#pragma once
// Named places where a test can make something fail: `if (fault::hit("store.fsync")) return errno_error("fsync", EIO);`
// Off unless armed; one relaxed load when nothing is armed. Armed by tests, or by BERTH_FAULTS="name=count,name=p0.1".

#include <string>
#include <string_view>

namespace berth::fault {

bool hit(std::string_view name);
void arm(const std::string& name, int times);              // the next `times` hits fail
void arm_probability(const std::string& name, double p);   // each hit fails with probability p
void disarm_all();
void arm_from_environment();                               // BERTH_FAULTS

}  // namespace berth::fault
