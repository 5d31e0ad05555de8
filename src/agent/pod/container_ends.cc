#include "agent/pod/container_ends.h"

#include "base/files.h"
#include "base/json/json.h"

namespace berth::agent {

Status write_container_ends(const std::string& path, const ContainerEnds& ends) {
  Value all = Value::object();
  for (const auto& [id, end] : ends) {
    all.set(id, Value::object({{"exitCode", end.exit_code},
                               {"oomKilled", end.oom_killed},
                               {"finished", static_cast<std::int64_t>(end.finished.time_since_epoch().count())}}));
  }
  return write_file_durably(path, json::encode(all));
}

ContainerEnds read_container_ends(const std::string& path) {
  ContainerEnds ends;
  Result<std::string> text = read_file(path);
  if (!text.ok()) return ends;
  Result<Value> all = json::parse(*text);
  if (!all.ok()) return ends;
  for (auto [id, end] : all->entries()) {
    ends[std::string(id)] = {static_cast<int>(end["exitCode"].as_int()), end["oomKilled"].as_bool(),
                             Time(Duration(end["finished"].as_int()))};
  }
  return ends;
}

}  // namespace berth::agent
