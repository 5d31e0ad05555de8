#include "agent/node/usage_service.h"

#include <unistd.h>

#include "api/quantity.h"
#include "base/files.h"
#include "base/text.h"
#include "base/time/time.h"

namespace berth::agent {
namespace {

constexpr Duration kSecondSample = 1s;

// The numbers in a line of words; words that are none count as 0.
std::vector<std::uint64_t> numbers_of(std::string_view line) {
  std::vector<std::uint64_t> out;
  for (std::string_view word : split(line, ' ')) {
    if (word.empty()) continue;
    Result<long> number = parse_int(word);
    out.push_back(number.ok() && *number > 0 ? static_cast<std::uint64_t>(*number) : 0);
  }
  return out;
}

std::uint64_t kilobytes(std::string_view meminfo, std::string_view key) {
  for (std::string_view line : split(meminfo, '\n')) {
    Cut parts = cut(line, ":");
    if (!parts.found || parts.before != key) continue;
    std::vector<std::uint64_t> numbers = numbers_of(parts.after);
    return numbers.empty() ? 0 : numbers[0] * 1024;
  }
  return 0;
}

std::string window_text(Duration window) {
  const auto millis = std::chrono::duration_cast<std::chrono::milliseconds>(window).count();
  std::string out = millis >= 60'000 ? std::to_string(millis / 60'000) + "m" : "";
  out += std::to_string(millis % 60'000 / 1000);
  if (std::string rest = std::to_string(1000 + millis % 1000).substr(1); rest != "000") {
    while (rest.back() == '0') rest.pop_back();
    out += "." + rest;
  }
  return out + "s";
}

Value usage_value(const UsageRate& rate) {
  Result<api::Quantity> cpu = api::Quantity::parse(std::to_string(rate.cpu_nanocores) + "n");
  api::Quantity memory =
      api::Quantity::of(static_cast<std::int64_t>(rate.memory_bytes), api::Quantity::Format::kBinarySI);
  return Value::object({{"cpu", cpu.ok() ? cpu->to_string() : "0"}, {"memory", memory.to_string()}});
}

}  // namespace

ContainerUsage machine_usage(const std::string& proc) {
  ContainerUsage out;
  if (Result<std::string> stat = read_file(proc + "/stat"); stat.ok()) {
    // user nice system idle iowait irq softirq steal; guests are part of user and nice.
    std::vector<std::uint64_t> ticks = numbers_of(cut(*stat, "\n").before);
    std::uint64_t busy = 0;
    for (std::size_t i = 1; i < ticks.size() && i <= 8; ++i) busy += i == 4 || i == 5 ? 0 : ticks[i];
    out.cpu_nanoseconds = busy * (1'000'000'000ull / static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK)));
  }
  if (Result<std::string> memory = read_file(proc + "/meminfo"); memory.ok()) {
    const std::uint64_t total = kilobytes(*memory, "MemTotal"),
                        spare = kilobytes(*memory, "MemFree") + kilobytes(*memory, "Inactive(file)");
    out.memory_working_set_bytes = total > spare ? total - spare : 0;
  }
  return out;
}

UsageService::UsageService(Runtime& runtime, Pods pods, Usage usage, std::string proc)
    : runtime_(runtime), pods_(std::move(pods)), usage_(std::move(usage)), proc_(std::move(proc)) {}

UsageService::~UsageService() {
  if (timer_ != 0) runtime_.cancel(timer_);
}

bool UsageService::handle(const std::shared_ptr<http::Exchange>& exchange) {
  if (exchange->request().path != "/usage") return false;
  report([exchange](Value report) { exchange->respond(200, "application/json", json::encode(report)); });
  return true;
}

void UsageService::report(Function<void(Value)> done) {
  if (timer_ == 0) {
    sample();
    if (meter_.complete()) return done(compose());
    timer_ = runtime_.after(kSecondSample, [this] {
      timer_ = 0;
      sample();
      const Value report = compose();
      auto waiting = std::move(waiting_);
      waiting_.clear();
      for (auto& one : waiting) one(report);
    });
  }
  waiting_.push_back(std::move(done));
}

void UsageService::sample() {
  UsageSample sample;
  sample.at = runtime_.monotonic();
  sample.node = machine_usage(proc_);
  for (const PodSummary& pod : pods_()) {
    for (const auto& [name, id] : pod.containers) {
      if (std::optional<ContainerUsage> usage = usage_(id)) sample.containers[id] = *usage;
    }
  }
  meter_.add(std::move(sample));
}

Value UsageService::compose() const {
  const std::string now = format_time(runtime_.now());
  auto shown = [&](Duration window) { return Value::object({{"timestamp", now}, {"window", window_text(window)}}); };
  Value out = Value::object({{"pods", Value::array()}});
  if (std::optional<UsageRate> node = meter_.node())
    out.set("node", shown(node->window).set("usage", usage_value(*node)));
  for (const PodSummary& pod : pods_()) {
    Value containers = Value::array();
    Duration window{};
    for (const auto& [name, id] : pod.containers) {
      std::optional<UsageRate> rate = meter_.container(id);
      if (!rate) continue;
      window = std::max(window, rate->window);
      containers.push(Value::object({{"name", name}, {"usage", usage_value(*rate)}}));
    }
    if (containers.empty() || containers.size() != pod.containers.size()) continue;
    out.mut("pods").push(shown(window)
                             .set("namespace", pod.ns)
                             .set("name", pod.name)
                             .set("uid", pod.uid)
                             .set("containers", std::move(containers)));
  }
  return out;
}

}  // namespace berth::agent
