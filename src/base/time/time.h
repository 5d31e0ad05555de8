#pragma once
// Time as Kubernetes writes it. metav1.Time has whole seconds ("2026-01-02T03:04:05Z"), MicroTime six digits.

#include <string>
#include <string_view>

#include "base/result.h"
#include "base/runtime.h"

namespace berth {

std::string format_time(Time time);              // whole seconds, UTC, "Z"
std::string format_micro_time(Time time);        // six digits
std::string format_nano_time(Time time);         // nine digits, as CRI log lines have
Result<Time> parse_time(std::string_view text);  // RFC 3339, any fraction, any offset

// A Go duration: "1h2m3.5s", "300ms", "-1.5h".
Result<Duration> parse_duration(std::string_view text);
// Ages as `kubectl get` prints them: "5s", "3m10s", "47m", "5h12m", "2d4h", "12d", "3y45d" (k8s.io/apimachinery
// HumanDuration).
std::string human_duration(Duration duration);

}  // namespace berth
