#pragma once
// Counters, gauges and histograms in the Prometheus text format, served at /metrics. Lock-free to update; any thread.
// Metrics live for the process: keep the reference, do not look it up on a hot path.

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

namespace berth::metrics {

class Counter {
 public:
  void add(std::uint64_t n = 1) { value_.fetch_add(n, std::memory_order_relaxed); }
  std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

class Gauge {
 public:
  void set(std::int64_t v) { value_.store(v, std::memory_order_relaxed); }
  void add(std::int64_t n) { value_.fetch_add(n, std::memory_order_relaxed); }
  std::int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::int64_t> value_{0};
};

class Histogram {
 public:
  explicit Histogram(std::vector<double> bounds);
  void observe(double value);
  void render(const std::string& name, const std::string& labels, std::string& out) const;

 private:
  std::vector<double> bounds_;
  std::vector<std::atomic<std::uint64_t>> counts_;  // one more than bounds_
  std::atomic<double> sum_{0};
};

// `labels` is ready text: `verb="GET",code="200"`, or empty. The same name and labels return the same object.
Counter& counter(const std::string& name, const std::string& help, const std::string& labels = {});
Gauge& gauge(const std::string& name, const std::string& help, const std::string& labels = {});
Histogram& histogram(const std::string& name, const std::string& help, std::vector<double> bounds,
                     const std::string& labels = {});
std::string render();

}  // namespace berth::metrics
