#include "why/render.h"

#include <algorithm>

namespace berth::why {
namespace {

struct SeverityStyle {
  const char* name;
  const char* mark;
  const char* colour;
};

const SeverityStyle& style_of(Severity severity) {
  static const SeverityStyle kStyles[] = {
      {"good", "✓", "\033[32m"}, {"note", "·", "\033[36m"}, {"waiting", "…", "\033[33m"}, {"broken", "✗", "\033[31m"}};
  return kStyles[static_cast<int>(severity)];
}

// Number of characters; each counts as one column.
std::size_t columns(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

std::string padded(std::string text, std::size_t width) {
  const std::size_t have = columns(text);
  if (have < width) text.append(width - have, ' ');
  return text;
}

// Replaces control characters: external texts must not control the terminal.
std::string printable(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  return text;
}

std::vector<std::string> wrapped(const std::string& text, std::size_t width) {
  std::vector<std::string> lines;
  std::string line;
  std::size_t at = 0;
  while (at < text.size()) {
    std::size_t end = std::min(text.find(' ', at), text.size());
    const std::string word = text.substr(at, end - at);
    if (!line.empty() && columns(line) + 1 + columns(word) > width) {
      lines.push_back(std::move(line));
      line.clear();
    }
    if (!word.empty()) line += (line.empty() ? "" : " ") + word;
    at = end + 1;
  }
  if (!line.empty()) lines.push_back(std::move(line));
  return lines;
}

class Renderer {
 public:
  Renderer(const WhyReport& report, Time now, const RenderStyle& style)
      : lines_(report.lines), now_(now), style_(style) {}

  std::string tree() {
    std::size_t first = 0, second = 0;
    for (std::size_t i = 0; i < lines_.size(); ++i) {
      first = std::max(first, columns(branch(i)) + 2 + columns(lines_[i].object));
      second = std::max(second, columns(lines_[i].state));
    }
    first = std::min<std::size_t>(first, 56);
    second = std::min<std::size_t>(second, 32);
    std::string out;
    for (std::size_t i = 0; i < lines_.size(); ++i) explain(i, first, second, out);
    return out;
  }

  std::string coloured(std::string_view text, const char* colour) const {
    return style_.colours && *colour != 0 ? colour + std::string(text) + "\033[0m" : std::string(text);
  }

 private:
  // True if another line follows at `depth` with the same parent.
  bool has_later_sibling(std::size_t i, int depth) const {
    for (std::size_t j = i + 1; j < lines_.size() && lines_[j].depth >= depth; ++j) {
      if (lines_[j].depth == depth) return true;
    }
    return false;
  }
  bool has_children(std::size_t i) const { return i + 1 < lines_.size() && lines_[i + 1].depth > lines_[i].depth; }

  std::string rails(std::size_t i, int depth) const {
    std::string out;
    for (int d = 1; d < depth; ++d) out += has_later_sibling(i, d) ? "│  " : "   ";
    return out;
  }
  std::string branch(std::size_t i) const {
    if (lines_[i].depth == 0) return "";
    return rails(i, lines_[i].depth) + (has_later_sibling(i, lines_[i].depth) ? "├─ " : "└─ ");
  }
  // The indentation of the sentences below a line.
  std::string margin(std::size_t i) const {
    std::string out =
        lines_[i].depth == 0 ? "" : rails(i, lines_[i].depth) + (has_later_sibling(i, lines_[i].depth) ? "│  " : "   ");
    return out + (has_children(i) ? "│    " : "     ");
  }

  void explain(std::size_t i, std::size_t first, std::size_t second, std::string& out) const {
    const Line& line = lines_[i];
    const SeverityStyle& style = style_of(line.severity);
    const std::string before = branch(i), object = printable(line.object), state = printable(line.state);
    const std::size_t room = first - std::min(first, columns(before) + 2);
    out += before + coloured(style.mark, style.colour) + " " + padded(object, room) + "  ";
    out += coloured(state, line.severity == Severity::kGood ? "" : style.colour);
    if (line.since && *line.since <= now_) {
      out += padded("", second - std::min(second, columns(state))) + "  " + human_duration(now_ - *line.since);
    }
    while (out.ends_with(' ')) out.pop_back();
    out += '\n';
    const std::string below = margin(i);
    const std::size_t width = std::max<std::size_t>(40, style_.width - std::min(style_.width, columns(below)));
    for (const std::string& part : wrapped(printable(line.why), width)) out += below + coloured(part, "\033[2m") + "\n";
    if (line.hint.empty()) return;
    out += below + coloured("→ " + printable(line.hint), "\033[36m") + "\n";
  }

  const std::deque<Line>& lines_;
  Time now_;
  const RenderStyle& style_;
};

Value steps_of(const std::deque<Line>& lines, std::size_t& at, int depth) {
  Value out = Value::array({});
  while (at < lines.size() && lines[at].depth >= depth) {
    const Line& line = lines[at++];
    Value one = Value::object({{"object", line.object}, {"mood", style_of(line.severity).name}, {"state", line.state}});
    if (line.since) one.set("since", format_time(*line.since));
    if (!line.why.empty()) one.set("why", line.why);
    if (!line.hint.empty()) one.set("hint", line.hint);
    if (Value below = steps_of(lines, at, depth + 1); !below.empty()) one.set("steps", std::move(below));
    out.push(std::move(one));
  }
  return out;
}

}  // namespace

std::string render(const WhyReport& report, Time now, const RenderStyle& style) {
  Renderer renderer(report, now, style);
  std::string out = renderer.tree();
  const Line* cause = report.cause();
  out += "\n";
  for (const std::string& part : wrapped(printable(report.summary(now)) + ".", style.width)) {
    out += renderer.coloured(part, cause ? "\033[1m" : "") + "\n";
  }
  if (cause && !cause->hint.empty()) out += renderer.coloured("→ " + printable(cause->hint), "\033[36m") + "\n";
  return out;
}

Value to_json(const WhyReport& report, Time now) {
  std::size_t at = 0;
  Value out = Value::object({{"waiting", report.waiting()}, {"summary", report.summary(now)}});
  if (const Line* cause = report.cause(); cause && !cause->hint.empty()) out.set("hint", cause->hint);
  out.set("steps", steps_of(report.lines, at, 0));
  return out;
}

}  // namespace berth::why
