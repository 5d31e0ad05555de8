#include "why/explanation.h"

#include <algorithm>

#include "base/text.h"

namespace berth::why {

Line& Explanation::add(int depth, Severity severity, std::string object, std::string state, std::optional<Time> since) {
  report_.lines.push_back(Line{depth, severity, std::move(object), std::move(state), since, {}, {}});
  return report_.lines.back();
}

bool Explanation::waiting_below(const Line& line) const {
  for (auto one = report_.lines.rbegin(); one != report_.lines.rend() && &*one != &line; ++one) {
    if (one->severity >= Severity::kWaiting) return true;
  }
  return false;
}

WhyReport Explanation::finish() {
  auto& lines = report_.lines;
  // From the last line up: the severity of a line's children is final before it is propagated.
  for (std::size_t i = lines.size(); i-- > 1;) {
    for (std::size_t parent = i; parent-- > 0;) {
      if (lines[parent].depth >= lines[i].depth) continue;
      if (lines[i].severity >= Severity::kWaiting)
        lines[parent].severity = std::max(lines[parent].severity, lines[i].severity);
      break;
    }
  }
  return std::move(report_);
}

std::vector<Value> Explanation::events_of(const Value& object) {
  if (api::uid_of(object).empty()) return {};
  return source_.list(api::resources::kEvents, {ns(), {}, "involvedObject.uid=" + std::string(api::uid_of(object))});
}

std::string Explanation::kubectl(std::string_view words) const {
  return "kubectl " + (question_.spell_namespace ? "-n " + ns() + " " : std::string()) + std::string(words);
}

std::string Explanation::ago(Time time) const {
  if (time > now_) return "in " + human_duration(time - now_);
  return human_duration(now_ - time) + " ago";
}

// --- Words

std::optional<Time> time_in(const Value& text) {
  if (!text.is_string()) return {};
  Result<Time> time = parse_time(text.as_string());
  if (!time.ok()) return {};
  return *time;
}

std::optional<Time> changed_at(const Value& condition) { return time_in(condition["lastTransitionTime"]); }
std::optional<Time> created_at(const Value& object) { return time_in(object["metadata"]["creationTimestamp"]); }

std::optional<Time> time_of_event(const Value& event) {
  for (const Value* stamp :
       {&event["series"]["lastObservedTime"], &event["lastTimestamp"], &event["eventTime"], &event["firstTimestamp"]}) {
    if (auto time = time_in(*stamp)) return time;
  }
  return created_at(event);
}

Value newest(const std::vector<Value>& events, const std::function<bool(const Value& event)>& accept) {
  Value best;
  std::optional<Time> best_time;
  for (const Value& event : events) {
    if (!accept(event)) continue;
    const auto time = time_of_event(event);
    if (!best.is_null() && time < best_time) continue;
    best = event;
    best_time = time;
  }
  return best;
}

bool is_warning(const Value& event) { return event["type"].as_string() == "Warning"; }

std::string and_list(const std::vector<std::string>& words) {
  std::string out;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) out += i + 1 == words.size() ? " and " : ", ";
    out += words[i];
  }
  return out;
}

std::string counted(std::int64_t count, std::string_view noun) {
  return std::to_string(count) + " " + std::string(noun) + (count == 1 ? "" : "s");
}

std::string shortened(std::string_view text, std::size_t most) {
  text = trim(text);
  while (text.ends_with('.')) text.remove_suffix(1);
  if (text.size() <= most) return replace_all(std::string(text), "\n", " ");
  std::size_t end = most;
  // do not cut within a UTF-8 character
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return replace_all(std::string(text.substr(0, end)), "\n", " ") + "…";
}

std::string finalizer_text(const Value& object) {
  std::vector<std::string> names;
  for (const Value& finalizer : object["metadata"]["finalizers"]) names.push_back(finalizer.str());
  if (names.empty()) return "";
  return "it stays until whoever put the " + std::string(names.size() == 1 ? "finalizer " : "finalizers ") +
         and_list(names) + " there removes " + (names.size() == 1 ? "it" : "them");
}

bool is_pod_well(const Value& pod) {
  if (pod.is_null() || api::is_terminating(pod)) return false;
  return api::is_pod_ready(pod) || pod["status"]["phase"].as_string() == "Succeeded";
}

Value first_waiting(const std::vector<Value>& pods) {
  const Value* best = nullptr;
  // The oldest pod that is not well; the name decides between pods created in the same second.
  for (const Value& pod : pods) {
    if (is_pod_well(pod)) continue;
    auto order = [](const Value& one) { return std::pair(created_at(one), api::name_of(one)); };
    if (!best || order(pod) < order(*best)) best = &pod;
  }
  return best ? *best : Value();
}

}  // namespace berth::why
