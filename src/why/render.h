#pragma once
// Formats a report as text for a terminal, or as JSON. Pure.

#include <string>

#include "why/why.h"

namespace berth::why {

struct RenderStyle {
  bool colours = false;
  std::size_t width = 110;  // of the terminal; sentences are wrapped
};

// An aligned tree, then the summary and the hint.
std::string render(const WhyReport& report, Time now, const RenderStyle& style);

// {"waiting", "summary", "hint", "steps": [{"object", "mood", "state", "since", "why", "hint", "steps"}]}
Value to_json(const WhyReport& report, Time now);

}  // namespace berth::why
