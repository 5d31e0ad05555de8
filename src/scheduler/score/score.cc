#include "scheduler/score/score.h"

#include <algorithm>
#include <cmath>

#include "api/object.h"
#include "controllers/shared/node_selector.h"
#include "controllers/shared/taints.h"

namespace berth::scheduler {
namespace {

constexpr std::int64_t kBest = 100;

// Stretches the scores so that the largest becomes 100; `reversed` makes small ones good.
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

Scores score(const Question& question, const Candidates& candidates, Snapshot& snapshot) {
  Scores total(candidates.size(), 0);
  auto add = [&](const Scores& scores, std::int64_t weight) {
    for (std::size_t i = 0; i < scores.size(); ++i) total[i] += scores[i] * weight;
  };
  add(score_least_allocated(question, candidates), 1);
  add(score_balanced(question, candidates), 1);
  // Where nothing is asked, every node would get the same.
  if (!question.pod.node_preferences.empty()) add(score_preferred_affinity(question, candidates), 2);
  if (std::any_of(candidates.begin(), candidates.end(), [](const NodeInfo* node) { return node->disliked; }))
    add(score_untainted(question, candidates), 3);
  add(score_spread(question, candidates, snapshot), 2);
  add(score_neighbours(question, candidates, snapshot), 2);
  return total;
}

Scores score_least_allocated(const Question& question, const Candidates& candidates) {
  Scores out;
  out.reserve(candidates.size());
  for (const NodeInfo* node : candidates) {
    const std::int64_t cpu = free_part(node->scored_cpu + question.pod.scored_cpu, node->allocatable.milli_cpu);
    const std::int64_t memory = free_part(node->scored_memory + question.pod.scored_memory, node->allocatable.memory);
    out.push_back((cpu + memory) / 2);
  }
  return out;
}

// How alike the used parts of CPU and memory would be.
Scores score_balanced(const Question& question, const Candidates& candidates) {
  Scores out;
  out.reserve(candidates.size());
  for (const NodeInfo* node : candidates) {
    auto used = [](std::int64_t amount, std::int64_t all) {
      return all <= 0 ? 1.0 : std::min(1.0, static_cast<double>(amount) / all);
    };
    const double cpu = used(node->requested.milli_cpu + question.pod.requests.milli_cpu, node->allocatable.milli_cpu);
    const double memory = used(node->requested.memory + question.pod.requests.memory, node->allocatable.memory);
    out.push_back(static_cast<std::int64_t>((1 - std::abs(cpu - memory) / 2) * kBest));
  }
  return out;
}

Scores score_preferred_affinity(const Question& question, const Candidates& candidates) {
  Scores out(candidates.size(), 0);
  const Value& terms = question.pod.node_preferences;
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

Scores score_untainted(const Question& question, const Candidates& candidates) {
  Scores out(candidates.size(), 0);
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (!candidates[i]->disliked) continue;
    for (const Value& taint : candidates[i]->node["spec"]["taints"]) {
      if (taint["effect"].as_string() != "PreferNoSchedule") continue;
      if (!controllers::tolerated(question.pod.tolerations, taint)) ++out[i];
    }
  }
  normalise(out, true);
  return out;
}

}  // namespace berth::scheduler
