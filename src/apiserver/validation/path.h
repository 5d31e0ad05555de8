#pragma once
// Path: where in an object a check is. A list of steps on the stack, from the inside out; text is made of it only when
// something is reported, so that the checks of a valid object allocate nothing for it. Internal to validation/.
//
// A Path refers to its parent and to the names it is made of: it must not outlive them. Children are made of named
// paths only (`path / "a" / "b"` does not compile; write `path / "a.b"`).

#include <cstddef>
#include <string>
#include <string_view>

namespace berth::apiserver::validation {

class Path {
 public:
  Path() = default;                               // the object itself
  Path(std::string_view text) : name_(text) {}    // NOLINT: "spec.containers[0]"
  Path(const std::string& text) : name_(text) {}  // NOLINT
  Path(const char* text) : name_(text) {}         // NOLINT

  Path operator/(std::string_view name) const& { return {this, Step::kName, name, 0}; }  // .name
  Path at(std::size_t index) const& { return {this, Step::kIndex, {}, index}; }          // [3]
  Path key(std::string_view key) const& { return {this, Step::kKey, key, 0}; }           // [a/b]
  Path operator/(std::string_view) const&& = delete;
  Path at(std::size_t) const&& = delete;
  Path key(std::string_view) const&& = delete;

  std::string text() const {
    std::string out;
    append_to(out);
    return out;
  }

 private:
  enum class Step { kName, kIndex, kKey };
  Path(const Path* parent, Step step, std::string_view name, std::size_t index)
      : parent_(parent), step_(step), name_(name), index_(index) {}
  void append_to(std::string& out) const {
    if (parent_ != nullptr) parent_->append_to(out);
    switch (step_) {
      case Step::kName:
        if (!out.empty() && !name_.empty()) out.push_back('.');
        out.append(name_);
        break;
      case Step::kIndex: out.append("[").append(std::to_string(index_)).append("]"); break;
      case Step::kKey: out.append("[").append(name_).append("]"); break;
    }
  }

  const Path* parent_ = nullptr;
  Step step_ = Step::kName;
  std::string_view name_;
  std::size_t index_ = 0;
};

}  // namespace berth::apiserver::validation
