#pragma once
// Scores: which of the nodes that a pod fits on suits it best. Each score gives 0..100 to every candidate; the weighted
// sum decides. Weights are upstream's defaults. To add one: a function, and a line in kScores (score.cc).

#include <cstdint>
#include <vector>

#include "scheduler/filter/filter.h"

namespace berth::scheduler {

using Candidates = std::vector<const NodeInfo*>;
using Scores = std::vector<std::int64_t>;  // one each candidate

// The weighted sums. The snapshot keeps what is counted for them.
Scores score(const Question& question, const Candidates& candidates, Snapshot& snapshot);

// The scores, for their own tests.
Scores score_least_allocated(const Question& question, const Candidates& candidates);
Scores score_balanced(const Question& question, const Candidates& candidates);
Scores score_preferred_affinity(const Question& question, const Candidates& candidates);
Scores score_untainted(const Question& question, const Candidates& candidates);
// How evenly pods would be spread, by the pod's ScheduleAnyway constraints or, where it has no constraints at all, by
// the cluster's: over nodes and zones, with the pods of the same services and owner.
Scores score_spread(const Question& question, const Candidates& candidates, Snapshot& snapshot);
// Preferred affinity and anti-affinity, the pod's own and that of others towards it.
Scores score_neighbours(const Question& question, const Candidates& candidates, Snapshot& snapshot);

}  // namespace berth::scheduler
