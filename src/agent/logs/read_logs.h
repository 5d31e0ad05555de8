#pragma once
// ReadLogs: how much of a container's log each client has read before it attaches, since newer versions of kubectl do
// that first. A log that is gone is forgotten, and of one log only the last clients are remembered.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace berth::agent {

class ReadLogs {
 public:
  static constexpr std::size_t kClients = 16;  // of one log

  void note(const std::string& log, const std::string& client, std::int64_t offset);
  // What the client has read, and forgets the log.
  std::optional<std::int64_t> take(const std::string& log, const std::string& client);
  void forget_gone();
  std::size_t size() const;

 private:
  std::map<std::string, std::vector<std::pair<std::string, std::int64_t>>>
      read_;  // by log: clients as hashes, the last one last
};

}  // namespace berth::agent
