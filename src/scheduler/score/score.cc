#include "scheduler/score/score.h"

#include <algorithm>
#include <cmath>

#include "api/object.h"
#include "controllers/shared/node_selector.h"
#include "controllers/shared/taints.h"

namespace berth::scheduler {
namespace {

constexpr std::int64_t kBest = 100;

// Scales the scores so that the largest becomes 100; `reversed`: small ones become large.
void normalise(Scores& scores, bool reversed) {
  const std::int64_t most = scores.empty() ? 0 : *std::max_element(scores.begin(), scores.end());
  for (std::int64_t& one : scores) {
    if (most == 0) {
      one = reversed ? kBest : one;
      continue;
    }
    one = one * kBest / most;
    if (reversed) one = kBest - one;
  }
}

std::int64_t free_part(std::int64_t used, std::int64_t all) {
  return all <= 0 || used > all ? 0 : (all - used) * kBest / all;
}

}  // namespace

Scores score(const FilterInput& input, const Candidates& candidates, Snapshot& snapshot) {
  Scores total(candidates.size(), 0);
  auto add = [&](const Scores& scores, std::int64_t weight) {
    for (std::size_t i = 0; i < scores.size(); ++i) total[i] += scores[i] * weight;
  };
  add(score_least_allocated(input, candidates), 1);
  add(score_balanced(input, candidates), 1);
  // Skip scores that would be equal for every node.
  if (!input.pod.node_preferences.empty()) add(score_preferred_affinity(input, candidates), 2);
  if (std::any_of(candidates.begin(), candidates.end(),
                  [](const NodeInfo* node) { return node->has_prefer_no_schedule; }))
    add(score_untainted(input, candidates), 3);
  add(score_spread(input, candidates, snapshot), 2);
  add(score_neighbours(input, candidates, snapshot), 2);
  return total;
}

Scores score_least_allocated(const FilterInput& input, const Candidates& candidates) {
  Scores out;
  out.reserve(candidates.size());
  for (const NodeInfo* node : candidates) {
    const std::int64_t cpu = free_part(node->scored_cpu + input.pod.scored_cpu, node->allocatable.milli_cpu);
    const std::int64_t memory = free_part(node->scored_memory + input.pod.scored_memory, node->allocatable.memory);
    out.push_back((cpu + memory) / 2);
  }
  return out;
}

// The similarity of the used fractions of CPU and memory.
Scores score_balanced(const FilterInput& input, const Candidates& candidates) {
  Scores out;
  out.reserve(candidates.size());
  for (const NodeInfo* node : candidates) {
    auto used = [](std::int64_t amount, std::int64_t all) {
      return all <= 0 ? 1.0 : std::min(1.0, static_cast<double>(amount) / all);
    };
    const double cpu = used(node->requested.milli_cpu + input.pod.requests.milli_cpu, node->allocatable.milli_cpu);
    const double memory = used(node->requested.memory + input.pod.requests.memory, node->allocatable.memory);
    out.push_back(static_cast<std::int64_t>((1 - std::abs(cpu - memory) / 2) * kBest));
  }
  return out;
}

Scores score_preferred_affinity(const FilterInput& input, const Candidates& candidates) {
  Scores out(candidates.size(), 0);
  const Value& terms = input.pod.node_preferences;
  if (terms.empty()) return out;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    for (const Value& term : terms) {
      const Value& preference = term["preference"];
      const bool everywhere = preference["matchExpressions"].empty() && preference["matchFields"].empty();
      if (everywhere || controllers::matches_term(preference, candidates[i]->node)) out[i] += term["weight"].as_int();
    }
  }
  normalise(out, false);
  return out;
}

Scores score_untainted(const FilterInput& input, const Candidates& candidates) {
  Scores out(candidates.size(), 0);
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (!candidates[i]->has_prefer_no_schedule) continue;
    for (const Value& taint : candidates[i]->node["spec"]["taints"]) {
      if (taint["effect"].as_string() != "PreferNoSchedule") continue;
      if (!controllers::tolerated(input.pod.tolerations, taint)) ++out[i];
    }
  }
  normalise(out, true);
  return out;
}

}  // namespace berth::scheduler
