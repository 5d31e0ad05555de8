#pragma once
// Scores: which of the fitting nodes is best for a pod. Each score gives 0..100 to every candidate; the weighted sum
// decides. Weights are upstream's defaults. To add one: a function, and a line in score() (score.cc).

#include <cstdint>
#include <vector>

#include "scheduler/filter/filter.h"

namespace berth::scheduler {

using Candidates = std::vector<const NodeInfo*>;
using Scores = std::vector<std::int64_t>;  // one per candidate

// The weighted sums. The snapshot stores the tallies made for them.
Scores score(const FilterInput& input, const Candidates& candidates, Snapshot& snapshot);

// The scores, exported for their tests.
Scores score_least_allocated(const FilterInput& input, const Candidates& candidates);
Scores score_balanced(const FilterInput& input, const Candidates& candidates);
Scores score_preferred_affinity(const FilterInput& input, const Candidates& candidates);
Scores score_untainted(const FilterInput& input, const Candidates& candidates);
// How evenly pods would be spread by the pod's ScheduleAnyway constraints, or, if it has no constraints, by the
// cluster's defaults: over nodes and zones, counting pods of the same services and owner.
Scores score_spread(const FilterInput& input, const Candidates& candidates, Snapshot& snapshot);
// Preferred affinity and anti-affinity: the pod's own, and that of placed pods towards it.
Scores score_neighbours(const FilterInput& input, const Candidates& candidates, Snapshot& snapshot);

}  // namespace berth::scheduler
