#include "agent/probes/prober.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace berth::agent {
namespace {

constexpr Duration kEagerTime = 10s;  // how long a probe may be eager
constexpr Duration kShortestPause = 2ms;
constexpr Duration kShortestExecPause = 50ms;
// The pause between two eager attempts, in durations of an attempt: they use at most a twentieth of a core.
constexpr int kPauseFactor = 20;
// The pause between two attempts of one probe, for each eager probe of the node: all together use that share of a core.
constexpr Duration kPausePerEagerProbe = 250us;

}  // namespace

struct Prober::Impl : std::enable_shared_from_this<Impl> {
  struct Probe {
    std::string kind;  // "startup", "readiness", "liveness"
    Value spec;
    Duration first_attempt{};  // monotonic, of this probe
    Duration fast_delay{};
    Duration next_counted{};
    bool eager = false;  // see prober.h
    bool in_flight = false;
    Duration began{};  // the latest attempt
    int successes = 0, failures = 0;
    TimerId timer = 0;
  };

  Runtime& runtime;
  ProbeRunner& runner;
  Start start;
  Callbacks callbacks;
  std::vector<Probe> probes;
  bool over = false, startup_pending = false;

  Impl(Runtime& r, ProbeRunner& p, Start s, Callbacks c)
      : runtime(r), runner(p), start(std::move(s)), callbacks(std::move(c)) {}

  static std::string kind_in_text(const std::string& kind) {
    return kind == "startup" ? "Startup" : kind == "liveness" ? "Liveness" : "Readiness";
  }
  static Duration seconds(const Value& value, std::int64_t fallback) {
    return std::chrono::seconds(std::max<std::int64_t>(value.as_int(fallback), fallback));
  }

  void add(const char* kind) {
    const Value& spec = start.container[std::string(kind) + "Probe"];
    if (spec.is_null()) return;
    Probe probe;
    probe.kind = kind;
    probe.spec = spec;
    probes.push_back(std::move(probe));
  }

  void start_probes() {
    startup_pending = has_probe(start.container, "startup") && !start.startup_passed;
    for (const char* kind : {"startup", "readiness", "liveness"}) {
      bool startup = std::string_view(kind) == "startup";
      if (startup && (!startup_pending || !start.liveness)) continue;
      if (std::string_view(kind) == "liveness" && !start.liveness) continue;
      add(kind);
    }
    for (std::size_t i = 0; i < probes.size(); ++i) {
      if (!startup_pending || probes[i].kind == "startup") schedule_first(i);
    }
  }

  void schedule_first(std::size_t i) {
    Probe& probe = probes[i];
    Duration age = std::max<Duration>(runtime.now() - start.started, Duration::zero());
    Duration delay = std::max<Duration>(seconds(probe.spec["initialDelaySeconds"], 0) - age, Duration::zero());
    // A container that an earlier agent found ready is probed after a period: all pods at once would be a load peak.
    bool confirmed = probe.kind == "readiness" ? start.ready : probe.kind == "liveness" ? age > 2 * kEagerTime : false;
    if (confirmed) delay = std::max(delay, period(probe));
    set_eager(probe, start.eager && probe.kind != "liveness" && !confirmed);
    probe.fast_delay = probe.spec["exec"].is_null() ? kShortestPause : kShortestExecPause;
    probe.first_attempt = runtime.monotonic() + delay;
    probe.next_counted = probe.first_attempt + (probe.eager ? period(probe) : Duration::zero());
    arm(i, delay);
  }

  void set_eager(Probe& probe, bool eager) {
    runner.eager_probes += static_cast<int>(eager) - static_cast<int>(std::exchange(probe.eager, eager));
  }

  static Duration period(const Probe& probe) { return seconds(probe.spec["periodSeconds"], 1); }

  void arm(std::size_t i, Duration delay) {
    Probe& probe = probes[i];
    if (probe.timer) runtime.cancel(probe.timer);
    probe.timer = runtime.after(delay, [self = weak_from_this(), i] {
      auto impl = self.lock();
      if (!impl || impl->over) return;
      impl->probes[i].timer = 0;
      impl->run(i);
    });
  }

  void run(std::size_t i) {
    Probe& probe = probes[i];
    if (probe.in_flight) return;
    probe.in_flight = true;
    probe.began = runtime.monotonic();
    bool counted = runtime.monotonic() >= probe.next_counted;
    ProbeTarget target{start.container_id, start.pod_ip, &start.container};
    runner.run(probe.spec, target, seconds(probe.spec["timeoutSeconds"], 1),
               [self = weak_from_this(), i, counted](ProbeResult result) {
                 auto impl = self.lock();
                 if (!impl || impl->over) return;
                 impl->probes[i].in_flight = false;
                 impl->on_result(i, counted, result);
               });
  }

  void on_result(std::size_t i, bool counted, const ProbeResult& result) {
    Probe& probe = probes[i];
    Duration now = runtime.monotonic();
    // The kernel refuses a connection at once: a longer time measured is that of a busy loop, not of the container.
    const Duration took = result.refused ? Duration::zero() : now - probe.began;
    const Duration rest = std::max(kPauseFactor * took, runner.eager_probes * kPausePerEagerProbe);
    Duration pause = std::min(std::max(probe.fast_delay, rest), period(probe));
    if (!result.good && !counted) {
      probe.fast_delay =
          std::min<Duration>(probe.fast_delay + probe.fast_delay / 4, now - probe.first_attempt > 1s ? 100ms : 40ms);
      if (!probe.spec["exec"].is_null()) probe.fast_delay = std::max<Duration>(probe.fast_delay, kShortestExecPause);
      if (now - probe.first_attempt > kEagerTime) set_eager(probe, false);
      Duration until_counted = std::max<Duration>(probe.next_counted - now, Duration::zero());
      return arm(i, probe.eager ? std::min(pause, until_counted) : until_counted);
    }
    if (result.good) {
      set_eager(probe, false);
      ++probe.successes;
      probe.failures = 0;
    } else if (!result.errored) {
      ++probe.failures;
      probe.successes = 0;
    }
    // The period is from start to start, so that a slow answer does not delay the next attempt.
    probe.next_counted = std::max(probe.began + period(probe), now);
    if (probe.eager && now - probe.first_attempt > kEagerTime) set_eager(probe, false);
    arm(i, probe.eager ? pause : probe.next_counted - now);
    report(i, result);
  }

  // Callbacks may destroy the Prober; the caller holds a reference to this object.
  void report(std::size_t i, const ProbeResult& result) {
    std::string kind = probes[i].kind;
    if (result.good && result.warned && callbacks.warned)
      callbacks.warned(kind_in_text(kind) + " probe warning: " + result.output);
    if (!result.good && callbacks.unhealthy) {
      const char* outcome = result.errored ? " probe errored and resulted in unknown state: " : " probe failed: ";
      callbacks.unhealthy(kind_in_text(kind) + outcome + result.output);
    }
    if (over || result.errored) return;
    int needed = static_cast<int>(std::max<std::int64_t>(1, probes[i].spec["successThreshold"].as_int(1)));
    int allowed = static_cast<int>(std::max<std::int64_t>(1, probes[i].spec["failureThreshold"].as_int(3)));
    bool good = result.good && probes[i].successes >= needed;
    bool bad = !result.good && probes[i].failures >= allowed;
    if (kind == "readiness") {
      if (good || bad) callbacks.readiness(good);
    } else if (kind == "startup" && good) {
      startup_pending = false;
      stop(i);
      for (std::size_t n = 0; n < probes.size(); ++n) {
        if (n != i) schedule_first(n);
      }
      callbacks.startup_passed();
    } else if (bad) {
      stop(i);
      callbacks.failed(kind);
    }
  }

  void stop(std::size_t i) {
    set_eager(probes[i], false);
    if (probes[i].timer) runtime.cancel(std::exchange(probes[i].timer, 0));
  }
};

bool has_probe(const Value& container, const char* kind) { return !container[std::string(kind) + "Probe"].is_null(); }

Prober::Prober(Runtime& runtime, ProbeRunner& runner, Start start, Callbacks callbacks)
    : impl_(std::make_shared<Impl>(runtime, runner, std::move(start), std::move(callbacks))) {
  impl_->start_probes();
}

Prober::~Prober() {
  impl_->over = true;
  for (std::size_t i = 0; i < impl_->probes.size(); ++i) impl_->stop(i);
}

void Prober::keep_only_readiness() {
  for (std::size_t i = 0; i < impl_->probes.size(); ++i) {
    if (impl_->probes[i].kind != "readiness") impl_->stop(i);
  }
}

}  // namespace berth::agent
