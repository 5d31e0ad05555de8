#include "host/restarts.h"

#include "base/files.h"
#include "base/json/json.h"
#include "base/time/time.h"

namespace berth::host {

Status write_restarts(const std::string& file, const std::vector<RestartHistory>& all) {
  Value out = Value::object();
  for (const RestartHistory& one : all) {
    Value entry = Value::object({{"restarts", one.count}, {"last", format_time(one.last)}, {"why", one.why}});
    if (one.next) {
      entry.set("next", Value::object({{"at", format_micro_time(one.next->at)},
                                       {"ends", one.next->ends},
                                       {"firstEnd", format_micro_time(one.next->first_end)},
                                       {"why", one.next->why}}));
    }
    out.set(one.role, std::move(entry));
  }
  return write_file(file, json::encode(out) + "\n");
}

RestartHistory read_restarts(const std::string& file, const std::string& role) {
  RestartHistory out{role, 0, {}, "", {}};
  Result<std::string> text = read_file(file);
  if (!text.ok()) return out;
  Result<Value> all = json::parse(*text);
  if (!all.ok()) return out;
  const Value& one = (*all)[role];
  out.count = static_cast<int>(one["restarts"].as_int());
  out.why = one["why"].str();
  if (Result<Time> last = parse_time(one["last"].as_string()); last.ok()) out.last = *last;
  const Value& next = one["next"];
  const Result<Time> at = parse_time(next["at"].as_string()), first_end = parse_time(next["firstEnd"].as_string());
  if (at.ok() && first_end.ok())
    out.next = PlannedStart{*at, static_cast<int>(next["ends"].as_int()), *first_end, next["why"].str()};
  return out;
}

std::string describe(const RestartHistory& restarts) {
  if (restarts.count <= 0) return "";
  return "restarted " +
         (restarts.count == 1 ? std::string("once, at ") : std::to_string(restarts.count) + " times, last at ") +
         format_time(restarts.last) + ": " + restarts.why;
}

std::string describe(const PlannedStart& next, Time now) {
  const Duration left = next.at - now;
  std::string out = "starts again " + (left < 1s ? std::string("now") : "in " + human_duration(left));
  if (next.ends > 1) out += " (" + std::to_string(next.ends) + " ends in " + human_duration(now - next.first_end) + ")";
  return out;
}

}  // namespace berth::host
