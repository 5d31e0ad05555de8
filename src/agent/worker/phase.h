#pragma once
// Phase: a state that changes only as its table of transitions says. A table is an array of Transition; the pure
// function find_transition() looks an event up in it. An event that the table does not have for the present state is a
// broken invariant: the agent ends, and the next one derives the states anew from the pods' records.

#include <optional>
#include <span>
#include <string>

#include "base/check.h"

namespace berth::agent {

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

// `State` and `Event` have functions next_phase(State, Event) and name_of() in their namespace.
template <class State, class Event>
class Phase {
 public:
  explicit Phase(State first) : state_(first) {}
  operator State() const { return state_; }  // NOLINT: a Phase is read as its state
  void apply(Event event) {
    const std::optional<State> to = next_phase(state_, event);
    BERTH_CHECK(to.has_value(), (std::string(name_of(event)) + " in phase " + std::string(name_of(state_))).c_str());
    state_ = *to;
  }

 private:
  State state_;
};

}  // namespace berth::agent
