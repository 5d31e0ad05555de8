#pragma once
// Structured lines on standard error: `2026-01-02T03:04:05.678Z INFO  agent: pod started pod=default/web-0`.
// log_info("agent", "pod started", {{"pod", key}}). Colour where standard error is a terminal. Any thread.

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace berth {

enum class LogLevel { kDebug, kInfo, kWarning, kError };
using LogFields = std::initializer_list<std::pair<std::string_view, std::string>>;

void set_log_level(LogLevel level);
// Appends to this file instead of standard error. Opened once; reopened when renamed away.
void set_log_file(const std::string& path);
bool log_enabled(LogLevel level);
void log_line(LogLevel level, std::string_view component, std::string_view message, LogFields fields = {});

inline void log_debug(std::string_view c, std::string_view m, LogFields f = {}) {
  if (log_enabled(LogLevel::kDebug)) log_line(LogLevel::kDebug, c, m, f);
}
inline void log_info(std::string_view c, std::string_view m, LogFields f = {}) { log_line(LogLevel::kInfo, c, m, f); }
inline void log_warning(std::string_view c, std::string_view m, LogFields f = {}) {
  log_line(LogLevel::kWarning, c, m, f);
}
inline void log_error(std::string_view c, std::string_view m, LogFields f = {}) { log_line(LogLevel::kError, c, m, f); }

}  // namespace berth
