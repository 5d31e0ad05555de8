#include "lab/restarts.h"

#include "base/files.h"
#include "base/json/json.h"
#include "base/time/time.h"

namespace berth::lab {

Status write_restarts(const std::string& file, const std::vector<Restarts>& all) {
  Value out = Value::object();
  for (const Restarts& one : all) {
    out.set(one.role, Value::object({{"restarts", one.count}, {"last", format_time(one.last)}, {"why", one.why}}));
  }
  return write_file(file, json::encode(out) + "\n");
}

Restarts read_restarts(const std::string& file, const std::string& role) {
  Restarts out{role, 0, {}, ""};
  Result<std::string> text = read_file(file);
  if (!text.ok()) return out;
  Result<Value> all = json::parse(*text);
  if (!all.ok()) return out;
  const Value& one = (*all)[role];
  out.count = static_cast<int>(one["restarts"].as_int());
  out.why = one["why"].str();
  if (Result<Time> last = parse_time(one["last"].as_string()); last.ok()) out.last = *last;
  return out;
}

std::string describe(const Restarts& restarts) {
  if (restarts.count <= 0) return "";
  return "restarted " + (restarts.count == 1 ? std::string("once, at ") : std::to_string(restarts.count) + " times, last at ") +
         format_time(restarts.last) + ": " + restarts.why;
}

}  // namespace berth::lab
