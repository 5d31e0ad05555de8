#pragma once
// Explanations of our own, behind upstream's words.

#include <string>

#include "scheduler/filter/filter.h"

namespace berth::scheduler {

// Where a claim's volume can only be used on some nodes and that is what keeps the pod: which claim, where its volume
// is, what keeps the pod from the nodes there, and what would help. "" where volumes are not what matters.
std::string explain_volumes(const Question& question, const Snapshot& snapshot);

}  // namespace berth::scheduler
