#include "base/fault.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <charconv>
#include <cstdlib>
#include <map>
#include <mutex>
#include <random>

#include "base/log.h"

namespace berth::fault {
namespace {

struct Fault {
  int times = 0;  // counted, where probability is 0
  double probability = 0;
};

struct Table {
  std::mutex mutex;
  std::map<std::string, Fault, std::less<>> faults;
  std::minstd_rand chance{std::random_device{}()};
};

std::atomic<int> armed{0};
std::function<void(std::string_view)>& step_callback() {
  static std::function<void(std::string_view)>& callback = *new std::function<void(std::string_view)>;
  return callback;
}
std::atomic<bool> steps_watched{false};

Table& table() {
  static Table& t = *new Table;  // never destroyed: other threads may call hit() while the process exits
  return t;
}

void put(const std::string& name, Fault fault) {
  Table& t = table();
  std::lock_guard lock(t.mutex);
  if (fault.times > 0 || fault.probability > 0) {
    t.faults[name] = fault;
  } else {
    t.faults.erase(name);
  }
  armed.store(static_cast<int>(t.faults.size()), std::memory_order_relaxed);
}

template <class T>
bool parse_whole(std::string_view text, T& out) {
  auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), out);
  return failure == std::errc() && end == text.data() + text.size();
}

bool arm_one(std::string_view entry) {
  auto equals = entry.find('=');
  if (equals == std::string_view::npos || equals == 0) return false;
  std::string name(entry.substr(0, equals));
  std::string_view value = entry.substr(equals + 1);
  if (value.starts_with('p')) {
    double p = 0;
    if (!parse_whole(value.substr(1), p) || !(p >= 0 && p <= 1)) return false;
    arm_probability(name, p);
    return true;
  }
  int times = 0;
  if (!parse_whole(value, times) || times < 0) return false;
  arm(name, times);
  return true;
}

}  // namespace

bool hit(std::string_view name) {
  if (armed.load(std::memory_order_relaxed) == 0) return false;
  Table& t = table();
  std::lock_guard lock(t.mutex);
  auto found = t.faults.find(name);
  if (found == t.faults.end()) return false;
  Fault& fault = found->second;
  if (fault.probability > 0) return std::uniform_real_distribution<>(0, 1)(t.chance) < fault.probability;
  if (--fault.times == 0) {
    t.faults.erase(found);
    armed.store(static_cast<int>(t.faults.size()), std::memory_order_relaxed);
  }
  return true;
}

void step(std::string_view name) {
  if (steps_watched.load(std::memory_order_relaxed)) step_callback()(name);
  if (hit(name)) ::kill(::getpid(), SIGKILL);
}

void on_step(std::function<void(std::string_view)> callback) {
  step_callback() = std::move(callback);
  steps_watched.store(static_cast<bool>(step_callback()));
}

void arm(const std::string& name, int times) { put(name, {times, 0}); }
void arm_probability(const std::string& name, double p) { put(name, {0, p}); }

void disarm_all() {
  Table& t = table();
  std::lock_guard lock(t.mutex);
  t.faults.clear();
  armed.store(0, std::memory_order_relaxed);
}

void arm_from_environment() {
  const char* value = std::getenv("BERTH_FAULTS");
  if (!value) return;
  std::string_view rest = value;
  while (!rest.empty()) {
    auto comma = rest.find(',');
    std::string_view entry = rest.substr(0, comma);
    rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
    if (!entry.empty() && !arm_one(entry)) {
      log_error("fault", "BERTH_FAULTS: entry ignored, want name=count or name=p0.1", {{"entry", std::string(entry)}});
    }
  }
}

}  // namespace berth::fault
