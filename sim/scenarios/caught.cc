#include "sim/scenarios/caught.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <thread>
#include <vector>

namespace berth::sim {

namespace {
// A planted bug must be detected up to this seed; some bugs need rare histories.
constexpr std::uint64_t kLastSeed = 4000;
}  // namespace

bool is_caught(const std::string& checker, HistoryOptions options, const std::string& words) {
  options.trace = std::getenv("BERTH_SIM_SEED") != nullptr;
  std::atomic<std::uint64_t> next{3};  // the long histories
  std::atomic<bool> found{false};
  std::mutex mutex;
  const auto fits = [&](const std::string& one) {
    return one.starts_with(checker + ":") && one.find(words) != std::string::npos;
  };
  options.stop = [&](const std::vector<std::string>& all) {
    return found || std::any_of(all.begin(), all.end(), fits);
  };
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < std::max(1u, std::thread::hardware_concurrency()); ++i) {
    threads.emplace_back([&, mine = options]() mutable {
      while (!found && (mine.seed = next.fetch_add(10)) <= kLastSeed) {
        const HistoryOutcome outcome = run_history(mine);
        const auto violation = std::find_if(outcome.violations.begin(), outcome.violations.end(), fits);
        if (violation == outcome.violations.end()) continue;
        std::lock_guard lock(mutex);
        std::printf("caught with seed %llu: %s\n", static_cast<unsigned long long>(mine.seed), violation->c_str());
        found = true;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return found;
}

bool is_caught(const std::string& checker, const controllers::statefulset::PlanFunction& planner,
               const std::string& words) {
  return is_caught(checker, HistoryOptions{.planner = planner, .faults = false}, words);
}

bool is_caught_in_options(const std::string& checker, const controllers::statefulset::PlanFunction& planner,
                          const std::string& words) {
  return is_caught(checker, HistoryOptions{.planner = planner, .faults = false, .all_options = true}, words);
}

}  // namespace berth::sim
