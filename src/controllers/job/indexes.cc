#include "controllers/job/indexes.h"

#include <algorithm>

#include "base/text.h"

namespace berth::controllers::job {

Indexes Indexes::parse(std::string_view text, std::int64_t completions) {
  Indexes read;
  if (text.empty()) return read;
  for (std::string_view part : split(text, ',')) {
    const Cut ends = cut(part, "-");
    const Result<long> first = parse_int(ends.before), last = ends.found ? parse_int(ends.after) : first;
    if (!first.ok() || !last.ok() || *first < 0 || *first > *last || *first >= completions) continue;
    read.intervals_.emplace_back(*first, std::min<std::int64_t>(*last, completions - 1));
  }
  std::sort(read.intervals_.begin(), read.intervals_.end());
  return Indexes().with(read);
}

Indexes Indexes::with(std::vector<std::int64_t> more) const {
  std::sort(more.begin(), more.end());
  Indexes added;
  for (std::int64_t index : more) added.intervals_.emplace_back(index, index);
  return with(added);
}

Indexes Indexes::with(const Indexes& more) const {
  std::vector<Interval> all;
  std::merge(intervals_.begin(), intervals_.end(), more.intervals_.begin(), more.intervals_.end(),
             std::back_inserter(all));
  Indexes joined;
  for (const Interval& one : all) {
    if (joined.intervals_.empty() || one.first > joined.intervals_.back().second + 1) {
      joined.intervals_.push_back(one);
    } else {
      joined.intervals_.back().second = std::max(joined.intervals_.back().second, one.second);
    }
  }
  return joined;
}

bool Indexes::has(std::int64_t index) const {
  const auto behind = std::upper_bound(intervals_.begin(), intervals_.end(), index,
                                       [](std::int64_t i, const Interval& one) { return i < one.first; });
  return behind != intervals_.begin() && std::prev(behind)->second >= index;
}

std::int64_t Indexes::size() const {
  std::int64_t count = 0;
  for (const Interval& one : intervals_) count += one.second - one.first + 1;
  return count;
}

std::int64_t Indexes::common(const Indexes& other) const {
  std::int64_t count = 0;
  for (auto a = intervals_.begin(), b = other.intervals_.begin();
       a != intervals_.end() && b != other.intervals_.end();) {
    count += std::max<std::int64_t>(0, std::min(a->second, b->second) - std::max(a->first, b->first) + 1);
    (a->second < b->second ? a : b)++;
  }
  return count;
}

std::vector<std::int64_t> Indexes::missing(std::int64_t count, std::int64_t limit) const {
  std::vector<std::int64_t> found;
  std::int64_t candidate = 0;
  auto up_to = [&](std::int64_t end) {
    for (; candidate < std::min(end, limit) && static_cast<std::int64_t>(found.size()) < count; ++candidate)
      found.push_back(candidate);
  };
  for (const Interval& one : intervals_) {
    up_to(one.first);
    candidate = std::max(candidate, one.second + 1);
  }
  up_to(limit);
  return found;
}

std::string Indexes::text() const {
  std::string out;
  for (const Interval& one : intervals_) {
    if (!out.empty()) out += ',';
    out += std::to_string(one.first);
    if (one.second > one.first) out += (one.second == one.first + 1 ? "," : "-") + std::to_string(one.second);
  }
  return out;
}

}  // namespace berth::controllers::job
