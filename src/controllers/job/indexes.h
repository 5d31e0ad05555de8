#pragma once
// A set of completion indexes, as a Job's status writes them: "0,2-4". Stored as intervals: a job may have a hundred
// thousand.

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace berth::controllers::job {

class Indexes {
 public:
  using Interval = std::pair<std::int64_t, std::int64_t>;  // both ends included

  Indexes() = default;
  // The indexes in the text below `completions`; invalid parts are skipped.
  static Indexes parse(std::string_view text, std::int64_t completions);

  Indexes with(std::vector<std::int64_t> more) const;
  Indexes with(const Indexes& more) const;

  bool has(std::int64_t index) const;
  std::int64_t size() const;
  bool empty() const { return intervals_.empty(); }
  std::int64_t common(const Indexes& other) const;  // size of the intersection
  // The first `count` below `limit` that are not in the set.
  std::vector<std::int64_t> missing(std::int64_t count, std::int64_t limit) const;
  std::string text() const;

 private:
  std::vector<Interval> intervals_;  // sorted, not adjacent
};

}  // namespace berth::controllers::job
