#include "base/json/text_order.h"

#include <algorithm>
#include <map>

namespace berth::json {
namespace {

// Walks over a text that has been parsed already.
class Walker {
 public:
  Walker(std::string_view text, std::map<std::string, std::vector<std::size_t>>& seen) : text_(text), seen_(seen) {}

  void value() {
    skip_space();
    if (at_ >= text_.size()) return;
    if (text_[at_] == '{') return object();
    if (text_[at_] == '[') return array();
    if (text_[at_] == '"') {
      (void)string();
      return;
    }
    while (at_ < text_.size() && std::string_view(",]} \t\r\n").find(text_[at_]) == std::string_view::npos) ++at_;
  }

 private:
  void skip_space() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos) ++at_;
  }
  // Past the comma: true where another element follows.
  bool another(char end) {
    skip_space();
    if (at_ >= text_.size()) return false;
    const char c = text_[at_++];
    return c != end;
  }
  // As it is written, without its quotes.
  std::string string() {
    const std::size_t from = ++at_;
    while (at_ < text_.size() && text_[at_] != '"') at_ += text_[at_] == '\\' ? 2 : 1;
    const std::size_t to = std::min(at_, text_.size());
    at_ = to + 1;
    return std::string(text_.substr(from, to - from));
  }
  void object() {
    ++at_;
    skip_space();
    if (at_ < text_.size() && text_[at_] == '}') {
      ++at_;
      return;
    }
    do {
      skip_space();
      if (at_ >= text_.size() || text_[at_] != '"') return;
      const std::size_t mark = path_.size(), place = at_;
      if (mark > 0) path_ += '.';
      path_ += string();
      if (auto found = seen_.find(path_); found != seen_.end()) found->second.push_back(place);
      skip_space();
      ++at_;  // the colon
      value();
      path_.resize(mark);
    } while (another('}'));
  }
  void array() {
    ++at_;
    skip_space();
    if (at_ < text_.size() && text_[at_] == ']') {
      ++at_;
      return;
    }
    std::size_t index = 0;
    do {
      const std::size_t mark = path_.size();
      path_ += '[' + std::to_string(index++) + ']';
      value();
      path_.resize(mark);
    } while (another(']'));
  }

  std::string_view text_;
  std::map<std::string, std::vector<std::size_t>>& seen_;
  std::size_t at_ = 0;
  std::string path_;
};

}  // namespace

void sort_by_text(std::string_view text, std::vector<FieldInText>& fields) {
  if (fields.size() < 2) return;
  std::map<std::string, std::vector<std::size_t>> seen;
  for (const FieldInText& field : fields) seen[field.path];
  Walker(text, seen).value();
  auto place = [&](const FieldInText& field) {
    const std::vector<std::size_t>& places = seen[field.path];
    const std::size_t wanted = field.second_occurrence ? 1 : 0;
    return wanted < places.size() ? places[wanted] : text.size();
  };
  std::stable_sort(fields.begin(), fields.end(),
                   [&](const FieldInText& a, const FieldInText& b) { return place(a) < place(b); });
}

}  // namespace berth::json
