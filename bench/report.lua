-- Prints one line for api_bench: requests, seconds, median and 99th percentile in milliseconds, failures.
function report(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format("RESULT %d %.3f %.2f %.2f %d\n", summary.requests, summary.duration / 1e6,
                         latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, failed))
end
