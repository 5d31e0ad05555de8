#include "base/line_diff.h"

#include <algorithm>
#include <unordered_map>
#include <vector>

#include "base/text.h"

namespace berth {
namespace {

using Lines = std::vector<std::string_view>;

// before[a, a + size) equals after[b, b + size).
struct Block {
  std::size_t a, b, size;
};
struct Change {
  bool equal;
  std::size_t a1, a2, b1, b2;
};

class Matcher {
 public:
  Matcher(const Lines& before, const Lines& after) : before_(before), after_(after) {
    for (std::size_t i = 0; i < after_.size(); ++i) places_[after_[i]].push_back(i);
    // difflib's "autojunk": lines that occur in more than 1 % of a long text match nothing by themselves.
    constexpr std::size_t kLong = 200;
    if (after_.size() < kLong) return;
    const std::size_t most = after_.size() / 100 + 1;
    std::erase_if(places_, [&](const auto& entry) { return entry.second.size() > most; });
  }

  std::vector<Change> changes() const {
    std::vector<Block> blocks;
    match(0, before_.size(), 0, after_.size(), blocks);
    blocks.push_back({before_.size(), after_.size(), 0});
    std::vector<Change> found;
    std::size_t a = 0, b = 0;
    for (const Block& block : blocks) {
      if (a < block.a || b < block.b) found.push_back({false, a, block.a, b, block.b});
      a = block.a + block.size;
      b = block.b + block.size;
      if (block.size == 0) continue;
      if (!found.empty() && found.back().equal) {  // blocks that touch are one
        found.back().a2 = a;
        found.back().b2 = b;
      } else {
        found.push_back({true, block.a, a, block.b, b});
      }
    }
    return found;
  }

 private:
  // The longest common run in the given parts; the first of several.
  Block longest(std::size_t a1, std::size_t a2, std::size_t b1, std::size_t b2) const {
    Block best{a1, b1, 0};
    std::unordered_map<std::size_t, std::size_t> lengths;  // of the runs that end at a place of `after`
    for (std::size_t i = a1; i < a2; ++i) {
      std::unordered_map<std::size_t, std::size_t> next;
      if (auto places = places_.find(before_[i]); places != places_.end()) {
        for (std::size_t j : places->second) {
          if (j < b1) continue;
          if (j >= b2) break;
          std::size_t size = 1;
          if (auto shorter = j > 0 ? lengths.find(j - 1) : lengths.end(); shorter != lengths.end())
            size += shorter->second;
          next[j] = size;
          if (size > best.size) best = {i + 1 - size, j + 1 - size, size};
        }
      }
      lengths = std::move(next);
    }
    while (best.a > a1 && best.b > b1 && before_[best.a - 1] == after_[best.b - 1])
      best = {best.a - 1, best.b - 1, best.size + 1};
    while (best.a + best.size < a2 && best.b + best.size < b2 &&
           before_[best.a + best.size] == after_[best.b + best.size])
      ++best.size;
    return best;
  }
  void match(std::size_t a1, std::size_t a2, std::size_t b1, std::size_t b2, std::vector<Block>& out) const {
    const Block block = longest(a1, a2, b1, b2);
    if (block.size == 0) return;
    if (a1 < block.a && b1 < block.b) match(a1, block.a, b1, block.b, out);
    out.push_back(block);
    if (block.a + block.size < a2 && block.b + block.size < b2)
      match(block.a + block.size, a2, block.b + block.size, b2, out);
  }

  const Lines &before_, &after_;
  std::unordered_map<std::string_view, std::vector<std::size_t>> places_;
};

constexpr std::size_t kContext = 3;

// Changes that are near each other, with the context around them.
std::vector<std::vector<Change>> grouped(std::vector<Change> changes) {
  std::vector<std::vector<Change>> groups;
  if (changes.empty()) return groups;
  auto keep_end = [](Change& c) {
    c.a1 = std::max(c.a1, c.a2 - std::min(c.a2, kContext));
    c.b1 = std::max(c.b1, c.b2 - std::min(c.b2, kContext));
  };
  auto keep_start = [](Change& c) {
    c.a2 = std::min(c.a2, c.a1 + kContext);
    c.b2 = std::min(c.b2, c.b1 + kContext);
  };
  if (changes.front().equal) keep_end(changes.front());
  if (changes.back().equal) keep_start(changes.back());
  std::vector<Change> group;
  for (Change change : changes) {
    if (change.equal && change.a2 - change.a1 > 2 * kContext) {
      Change head = change;
      keep_start(head);
      group.push_back(head);
      groups.push_back(std::move(group));
      group.clear();
      keep_end(change);
    }
    group.push_back(change);
  }
  if (group.size() > 1 || !group.front().equal) groups.push_back(std::move(group));
  return groups;
}

std::string range(std::size_t from, std::size_t to) {
  const std::size_t size = to - from;
  if (size == 1) return std::to_string(from + 1);
  return std::to_string(size == 0 ? from : from + 1) + "," + std::to_string(size);
}

}  // namespace

std::string line_diff(std::string_view before, std::string_view after) {
  std::string out;
  if (before == after) return out;
  const Lines old_lines = split(before, '\n'), new_lines = split(after, '\n');
  auto write = [&](char mark, const Lines& lines, std::size_t from, std::size_t to) {
    for (std::size_t i = from; i < to; ++i) {
      out.push_back(mark);
      out.append(lines[i]);
      out.push_back('\n');
    }
  };
  for (const std::vector<Change>& group : grouped(Matcher(old_lines, new_lines).changes())) {
    out +=
        "@@ -" + range(group.front().a1, group.back().a2) + " +" + range(group.front().b1, group.back().b2) + " @@\n";
    for (const Change& change : group) {
      if (change.equal) {
        write(' ', old_lines, change.a1, change.a2);
      } else {
        write('-', old_lines, change.a1, change.a2);
        write('+', new_lines, change.b1, change.b2);
      }
    }
  }
  return out;
}

}  // namespace berth
