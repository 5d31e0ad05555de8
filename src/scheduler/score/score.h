#pragma once
// Scores: which of the nodes that a pod fits on suits it best. Each score gives 0..100 to every candidate; the weighted sum
// decides. Weights are upstream's defaults. To add one: a function, and a line in kScores (score.cc).

#include <cstdint>
#include <vector>

#include "scheduler/filter/filter.h"

namespace berth::scheduler {

using Candidates = std::vector<const NodeInfo*>;
using Scores = std::vector<std::int64_t>;  // one each candidate

// The weighted sums.
Scores score(const Question& question, const Candidates& candidates);

// The scores, for their own tests.
Scores score_least_allocated(const Question& question, const Candidates& candidates);
Scores score_balanced(const Question& question, const Candidates& candidates);
Scores score_preferred_affinity(const Question& question, const Candidates& candidates);
Scores score_untainted(const Question& question, const Candidates& candidates);
Scores score_spread(const Question& question, const Candidates& candidates);

}  // namespace berth::scheduler
