#include "agent/logs/read_logs.h"

#include "base/files.h"
#include "base/text.h"

namespace berth::agent {

void ReadLogs::note(const std::string& log, const std::string& client, std::int64_t offset) {
  forget_gone();
  const std::string name = sha256_hex(client);  // clients choose how long theirs are
  auto& clients = read_[log];
  std::erase_if(clients, [&name](const auto& one) { return one.first == name; });
  if (clients.size() >= kClients) clients.erase(clients.begin());
  clients.emplace_back(name, offset);
}

std::optional<std::int64_t> ReadLogs::take(const std::string& log, const std::string& client) {
  auto known = read_.extract(log);
  if (known.empty()) return std::nullopt;
  const std::string name = sha256_hex(client);
  for (const auto& [one, offset] : known.mapped()) {
    if (one == name) return offset;
  }
  return std::nullopt;
}

void ReadLogs::forget_gone() {
  std::erase_if(read_, [](const auto& entry) { return !path_exists(entry.first); });
}

std::size_t ReadLogs::size() const {
  std::size_t all = 0;
  for (const auto& [log, clients] : read_) all += clients.size();
  return all;
}

}  // namespace berth::agent
