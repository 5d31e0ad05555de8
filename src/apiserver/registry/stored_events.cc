#include "apiserver/registry/stored_events.h"

#include <queue>

namespace berth::apiserver::registry {

// Keys are "/registry/core/events/<namespace>/<name>".
std::string_view StoredEvents::namespace_of(std::string_view key) {
  const std::string_view folder = key.substr(0, key.rfind('/'));
  return folder.substr(folder.rfind('/') + 1);
}

void StoredEvents::written(const std::string& key, Duration at) {
  const auto [event, added] = events_.try_emplace(key);
  Known& known = event->second;
  if (added) {
    known.ns = namespaces_.try_emplace(std::string(namespace_of(key))).first;
  } else {
    known.ns->second.erase(known.order);
  }
  known.order = {at, ++last_};
  known.ns->second.emplace(known.order, &event->first);
}

void StoredEvents::removed(const std::string& key) {
  const auto event = events_.find(key);
  if (event == events_.end()) return;
  const Known known = event->second;
  known.ns->second.erase(known.order);
  if (known.ns->second.empty()) namespaces_.erase(known.ns);
  events_.erase(event);
}

std::optional<Duration> StoredEvents::written_at(const std::string& key) const {
  const auto event = events_.find(key);
  if (event == events_.end()) return std::nullopt;
  return event->second.order.first;
}

std::vector<std::pair<std::string, Duration>> StoredEvents::take_excess(std::size_t count) {
  std::vector<std::pair<std::string, Duration>> taken;
  std::priority_queue<std::pair<std::size_t, std::string_view>> largest;
  for (const auto& [name, events] : namespaces_) largest.emplace(events.size(), name);
  while (taken.size() < count && !largest.empty()) {
    const auto [size, name] = largest.top();
    largest.pop();
    const auto [order, key] = *namespaces_.find(name)->second.begin();
    taken.emplace_back(*key, order.first);
    removed(taken.back().first);  // with its namespace, where it was the last
    if (size > 1) largest.emplace(size - 1, name);
  }
  return taken;
}

}  // namespace berth::apiserver::registry
