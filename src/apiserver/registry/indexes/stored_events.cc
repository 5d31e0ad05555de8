#include "apiserver/registry/indexes/stored_events.h"

#include <queue>

namespace berth::apiserver::registry {

// Keys are "/registry/core/events/<namespace>/<name>".
std::string_view StoredEvents::namespace_of(std::string_view key) {
  const std::string_view folder = key.substr(0, key.rfind('/'));
  return folder.substr(folder.rfind('/') + 1);
}

void StoredEvents::record(const std::string& key, Duration at) {
  const auto [event, added] = events_.try_emplace(key);
  Entry& entry = event->second;
  if (added) {
    entry.ns = namespaces_.try_emplace(std::string(namespace_of(key))).first;
  } else {
    entry.ns->second.erase(entry.order);
  }
  entry.order = {at, ++last_};
  entry.ns->second.emplace(entry.order, &event->first);
}

void StoredEvents::erase(const std::string& key) {
  const auto event = events_.find(key);
  if (event == events_.end()) return;
  const Entry entry = event->second;
  entry.ns->second.erase(entry.order);
  if (entry.ns->second.empty()) namespaces_.erase(entry.ns);
  events_.erase(event);
}

std::optional<Duration> StoredEvents::written_at(const std::string& key) const {
  const auto event = events_.find(key);
  if (event == events_.end()) return std::nullopt;
  return event->second.order.first;
}

std::vector<std::pair<std::string, Duration>> StoredEvents::pop_excess(std::size_t count) {
  std::vector<std::pair<std::string, Duration>> popped;
  std::priority_queue<std::pair<std::size_t, std::string_view>> largest;
  for (const auto& [name, events] : namespaces_) largest.emplace(events.size(), name);
  while (popped.size() < count && !largest.empty()) {
    const auto [size, name] = largest.top();
    largest.pop();
    const auto [order, key] = *namespaces_.find(name)->second.begin();
    popped.emplace_back(*key, order.first);
    erase(popped.back().first);  // with its namespace, where it was the last
    if (size > 1) largest.emplace(size - 1, name);
  }
  return popped;
}

}  // namespace berth::apiserver::registry
