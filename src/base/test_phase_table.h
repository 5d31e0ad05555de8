#pragma once
// For the tests of state machines: compares a transition function with a table of all its values.

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

namespace berth {

// The table's first line names the phases in the order of their enumeration; each further line is an event, in that
// order too, and the phases that follow it. "-": the event cannot happen in that phase.
template <class Phase, class PhaseEvent>
void expect_transitions(std::optional<Phase> (*next)(Phase, PhaseEvent), Phase last_phase, PhaseEvent last_event,
                        const std::string& table) {
  auto words = [](const std::string& line) {
    std::istringstream in(line);
    std::vector<std::string> out;
    for (std::string word; in >> word;) out.push_back(word);
    return out;
  };
  std::istringstream lines(table);
  std::vector<std::string> phases;
  std::size_t events = 0;
  for (std::string line; std::getline(lines, line);) {
    const std::vector<std::string> row = words(line);
    if (row.empty()) continue;
    if (phases.empty()) {
      phases = row;
      ASSERT_EQ(phases.size(), static_cast<std::size_t>(last_phase) + 1);
      continue;
    }
    ASSERT_EQ(row.size(), phases.size() + 1) << row[0];
    for (std::size_t phase = 0; phase < phases.size(); ++phase) {
      const std::string& expected = row[phase + 1];
      ASSERT_TRUE(expected == "-" || std::find(phases.begin(), phases.end(), expected) != phases.end()) << expected;
      const std::optional<Phase> found = next(static_cast<Phase>(phase), static_cast<PhaseEvent>(events));
      EXPECT_EQ(found ? phases[static_cast<std::size_t>(*found)] : "-", expected)
          << row[0] << " in phase " << phases[phase];
    }
    ++events;
  }
  EXPECT_EQ(events, static_cast<std::size_t>(last_event) + 1);
}

}  // namespace berth
