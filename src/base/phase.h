#pragma once
// Phase: a state that changes only by the events of its transition function, which is a pure function
//
//   constexpr std::optional<State> next_phase(State, Event)      // nothing: the event cannot happen in that state
//
// in the namespace of State, tested as a table of all its values (base/test_phase_table.h). An event that cannot happen
// is a broken invariant (base/check.h). One thread at a time.

#include <optional>
#include <span>
#include <string>

#include "base/check.h"

namespace berth {

template <class State, class Event>
class Phase {
 public:
  explicit constexpr Phase(State first) : state_(first) {}
  constexpr operator State() const { return state_; }  // NOLINT: a Phase is read as its state
  void apply(Event event) {
    const std::optional<State> next = next_phase(state_, event);
    if (!next) impossible(event);
    state_ = *next;
  }

 private:
  // With the names of both, where the namespace of State has functions name_of().
  [[noreturn]] void impossible(Event event) const {
    std::string text;
    if constexpr (requires { name_of(state_) == name_of(event); }) {
      text = std::string(name_of(event)) + " in phase " + std::string(name_of(state_));
    } else {
      text = "event " + std::to_string(static_cast<int>(event)) + " in phase " +
             std::to_string(static_cast<int>(state_)) + ": " + __PRETTY_FUNCTION__;
    }
    check_failed(__FILE__, __LINE__, "next_phase()", text.c_str());
  }

  State state_;
};

// For a next_phase() that is written as a table.
template <class State, class Event>
struct Transition {
  State from;
  Event event;
  State to;
};

template <class State, class Event>
constexpr std::optional<State> find_transition(std::span<const Transition<State, Event>> table, State from,
                                               Event event) {
  for (const auto& transition : table) {
    if (transition.from == from && transition.event == event) return transition.to;
  }
  return std::nullopt;
}

}  // namespace berth
