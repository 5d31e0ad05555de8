#include "base/metrics.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <memory>
#include <mutex>

#include "base/check.h"

namespace berth::metrics {
namespace {

struct Family {
  const char* type = "";
  std::string help;
  std::map<std::string, std::unique_ptr<Counter>> counters;  // by labels; one of the three is in use
  std::map<std::string, std::unique_ptr<Gauge>> gauges;
  std::map<std::string, std::unique_ptr<Histogram>> histograms;
};

struct Registry {
  std::mutex mutex;
  std::map<std::string, Family> families;
};

Registry& registry() {
  static Registry& r = *new Registry;  // never destroyed: references are kept by threads that outlive main
  return r;
}

Family& family(Registry& r, const std::string& name, const std::string& help, std::string_view type) {
  Family& f = r.families[name];
  if (*f.type == 0) {
    f.type = type.data();
    f.help = help;
  }
  BERTH_CHECK(f.type == type, "a metric's name is used with two types");
  return f;
}

std::string number(double value) {
  char text[32];
  auto end = std::to_chars(text, text + sizeof text, value).ptr;
  return std::string(text, end);
}

void sample(std::string& out, const std::string& name, const std::string& labels, const std::string& value) {
  out += name;
  if (!labels.empty()) out += "{" + labels + "}";
  out += " " + value + "\n";
}

std::string escaped_help(const std::string& help) {
  std::string out;
  for (char c : help) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace

Histogram::Histogram(std::vector<double> bounds) : bounds_(std::move(bounds)), counts_(bounds_.size() + 1) {
  BERTH_CHECK(std::is_sorted(bounds_.begin(), bounds_.end()), "histogram bounds must ascend");
}

void Histogram::observe(double value) {
  // A bound is inclusive.
  auto at = std::lower_bound(bounds_.begin(), bounds_.end(), value) - bounds_.begin();
  counts_[static_cast<std::size_t>(at)].fetch_add(1, std::memory_order_relaxed);
  sum_.fetch_add(value, std::memory_order_relaxed);
}

void Histogram::render(const std::string& name, const std::string& labels, std::string& out) const {
  std::string prefix = labels.empty() ? "" : labels + ",";
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    total += counts_[i].load(std::memory_order_relaxed);
    std::string bound = i < bounds_.size() ? number(bounds_[i]) : "+Inf";
    sample(out, name + "_bucket", prefix + "le=\"" + bound + "\"", std::to_string(total));
  }
  sample(out, name + "_sum", labels, number(sum_.load(std::memory_order_relaxed)));
  sample(out, name + "_count", labels, std::to_string(total));
}

Counter& counter(const std::string& name, const std::string& help, const std::string& labels) {
  Registry& r = registry();
  std::lock_guard lock(r.mutex);
  auto& slot = family(r, name, help, "counter").counters[labels];
  if (!slot) slot = std::make_unique<Counter>();
  return *slot;
}

Gauge& gauge(const std::string& name, const std::string& help, const std::string& labels) {
  Registry& r = registry();
  std::lock_guard lock(r.mutex);
  auto& slot = family(r, name, help, "gauge").gauges[labels];
  if (!slot) slot = std::make_unique<Gauge>();
  return *slot;
}

Histogram& histogram(const std::string& name, const std::string& help, std::vector<double> bounds,
                     const std::string& labels) {
  Registry& r = registry();
  std::lock_guard lock(r.mutex);
  auto& slot = family(r, name, help, "histogram").histograms[labels];
  if (!slot) slot = std::make_unique<Histogram>(std::move(bounds));
  return *slot;
}

std::string render() {
  Registry& r = registry();
  std::lock_guard lock(r.mutex);
  std::string out;
  for (const auto& [name, f] : r.families) {
    out += "# HELP " + name + " " + escaped_help(f.help) + "\n";
    out += "# TYPE " + name + " " + f.type + "\n";
    for (const auto& [labels, c] : f.counters) sample(out, name, labels, std::to_string(c->value()));
    for (const auto& [labels, g] : f.gauges) sample(out, name, labels, std::to_string(g->value()));
    for (const auto& [labels, h] : f.histograms) h->render(name, labels, out);
  }
  return out;
}

}  // namespace berth::metrics
