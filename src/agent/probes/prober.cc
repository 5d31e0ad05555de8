#include "agent/probes/prober.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace berth::agent {
namespace {

constexpr Duration kYoung = 10s;  // how long after its first try a container is young
constexpr Duration kSoonest = 2ms;
constexpr Duration kSoonestExec = 50ms;
// The pause between two eager tries, in lengths of a try: they take at most a twentieth of a core.
constexpr int kRest = 20;
// And between two of one container for each container of the node that is tried so: all of them together take their
// share of a core, not each.
constexpr Duration kShare = 250us;

}  // namespace

struct Prober::State : std::enable_shared_from_this<State> {
  struct Probe {
    std::string kind;  // "startup", "readiness", "liveness"
    Value spec;
    Duration first_try{};  // monotonic, of this probe
    Duration fast_delay{};
    Duration next_counted{};
    bool eager = false;  // in the phase of frequent tries
    bool in_flight = false;
    Duration began{};  // the latest try
    int successes = 0, failures = 0;
    TimerId timer = 0;
  };

  Runtime& runtime;
  ProbeRunner& runner;
  Start start;
  Callbacks callbacks;
  std::vector<Probe> probes;
  bool over = false, startup_pending = false;

  State(Runtime& r, ProbeRunner& p, Start s, Callbacks c)
      : runtime(r), runner(p), start(std::move(s)), callbacks(std::move(c)) {}

  static std::string word(const std::string& kind) {
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

  void begin() {
    startup_pending = has_probe(start.container, "startup") && !start.startup_passed;
    for (const char* kind : {"startup", "readiness", "liveness"}) {
      bool startup = std::string_view(kind) == "startup";
      if (startup && (!startup_pending || !start.liveness)) continue;
      if (std::string_view(kind) == "liveness" && !start.liveness) continue;
      add(kind);
    }
    for (std::size_t i = 0; i < probes.size(); ++i) {
      if (!startup_pending || probes[i].kind == "startup") first(i);
    }
  }

  void first(std::size_t i) {
    Probe& probe = probes[i];
    Duration age = std::max<Duration>(runtime.now() - start.started, Duration::zero());
    Duration delay = std::max<Duration>(seconds(probe.spec["initialDelaySeconds"], 0) - age, Duration::zero());
    // A container that an earlier agent found ready is asked again after a period, not at once from all pods.
    bool known = probe.kind == "readiness" ? start.ready : probe.kind == "liveness" ? age > 2 * kYoung : false;
    if (known) delay = std::max(delay, period(probe));
    set_eager(probe, start.eager && probe.kind != "liveness" && !known);
    probe.fast_delay = probe.spec["exec"].is_null() ? kSoonest : kSoonestExec;
    probe.first_try = runtime.monotonic() + delay;
    probe.next_counted = probe.first_try + (probe.eager ? period(probe) : Duration::zero());
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
      auto state = self.lock();
      if (!state || state->over) return;
      state->probes[i].timer = 0;
      state->run(i);
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
                 auto state = self.lock();
                 if (!state || state->over) return;
                 state->probes[i].in_flight = false;
                 state->take(i, counted, result);
               });
  }

  void take(std::size_t i, bool counted, const ProbeResult& result) {
    Probe& probe = probes[i];
    Duration now = runtime.monotonic();
    // Where nobody listens the answer comes at once, however long the loop has kept it.
    const Duration took = result.refused ? Duration::zero() : now - probe.began;
    const Duration rest = std::max(kRest * took, runner.eager_probes * kShare);
    Duration pause = std::min(std::max(probe.fast_delay, rest), period(probe));
    if (!result.good && !counted) {
      probe.fast_delay =
          std::min<Duration>(probe.fast_delay + probe.fast_delay / 4, now - probe.first_try > 1s ? 100ms : 40ms);
      if (!probe.spec["exec"].is_null()) probe.fast_delay = std::max<Duration>(probe.fast_delay, kSoonestExec);
      if (now - probe.first_try > kYoung) set_eager(probe, false);
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
    // The period is from one beginning to the next, so that a slow answer does not put off the next question.
    probe.next_counted = std::max(probe.began + period(probe), now);
    if (probe.eager && now - probe.first_try > kYoung) set_eager(probe, false);
    arm(i, probe.eager ? pause : probe.next_counted - now);
    judge(i, result);
  }

  // The callbacks may destroy the prober; `this` is held by the caller.
  void judge(std::size_t i, const ProbeResult& result) {
    std::string kind = probes[i].kind;
    if (result.good && result.warned && callbacks.warned)
      callbacks.warned(word(kind) + " probe warning: " + result.output);
    if (!result.good && callbacks.unhealthy) {
      const char* outcome = result.errored ? " probe errored and resulted in unknown state: " : " probe failed: ";
      callbacks.unhealthy(word(kind) + outcome + result.output);
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
        if (n != i) first(n);
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
    : state_(std::make_shared<State>(runtime, runner, std::move(start), std::move(callbacks))) {
  state_->begin();
}

Prober::~Prober() {
  state_->over = true;
  for (std::size_t i = 0; i < state_->probes.size(); ++i) state_->stop(i);
}

void Prober::only_readiness() {
  for (std::size_t i = 0; i < state_->probes.size(); ++i) {
    if (state_->probes[i].kind != "readiness") state_->stop(i);
  }
}

}  // namespace berth::agent
