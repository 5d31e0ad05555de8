// Steps for the containers of a pod: init containers in order, then all others.
#include <csignal>
#include <cstring>

#include "api/containers.h"
#include "base/text.h"
#include "why/explanation.h"

namespace berth::why {
namespace {

const Value& status_of(const Value& pod, const char* list, std::string_view name) {
  for (const Value& status : pod["status"][list]) {
    if (status["name"].as_string() == name) return status;
  }
  static const Value none;
  return none;
}

std::string port_text(const Value& port) { return port.is_string() ? port.str() : std::to_string(port.as_int()); }

// Describes a probe: "GET :8080/healthz", "connecting to port 80".
std::string probe_text(const Value& probe) {
  if (const Value& get = probe["httpGet"]; !get.is_null())
    return "GET :" + port_text(get["port"]) + get["path"].str("/");
  if (const Value& tcp = probe["tcpSocket"]; !tcp.is_null()) return "connecting to port " + port_text(tcp["port"]);
  if (const Value& grpc = probe["grpc"]; !grpc.is_null())
    return "the gRPC health check at port " + port_text(grpc["port"]);
  std::vector<std::string> words;
  for (const Value& word : probe["exec"]["command"]) words.push_back(word.str());
  return "the command `" + shortened(join(words, " "), 60) + "`";
}

// "back-off 1m20s restarting failed container=..."
std::optional<Duration> back_off_in(std::string_view message) {
  const Cut start = cut(message, "back-off ");
  if (!start.found) return {};
  Result<Duration> delay = parse_duration(cut(start.after, " ").before);
  if (!delay.ok()) return {};
  return *delay;
}

class ContainerExplanation {
 public:
  ContainerExplanation(Explanation& explanation, const Value& pod, const Value& spec, bool init,
                       const std::vector<Value>& events)
      : explanation_(explanation),
        pod_(pod),
        spec_(spec),
        init_(init),
        sidecar_(init && api::is_sidecar(spec)),
        events_(events),
        name_(spec["name"].str()),
        status_(status_of(pod, init ? "initContainerStatuses" : "containerStatuses", name_)) {}

  // Returns true if the containers after it may start.
  bool explain(int depth) {
    Line& line = explanation_.add(depth, Severity::kGood,
                                  std::string(sidecar_ ? "sidecar "
                                              : init_  ? "init container "
                                                       : "container ") +
                                      name_,
                                  "");
    const Value& state = status_["state"];
    if (!state["running"].is_null()) return running(line, state["running"]);
    if (!state["terminated"].is_null()) return terminated(line, state["terminated"]);
    return waiting(line, state["waiting"]);
  }

 private:
  std::string logs(bool previous) const {
    return explanation_.kubectl("logs " + std::string(api::name_of(pod_)) + " -c " + name_ +
                                (previous ? " --previous" : ""));
  }
  std::string describe() const { return explanation_.kubectl("describe pod " + std::string(api::name_of(pod_))); }

  // The newest event about this container that `accept` accepts, or null.
  Value event(const std::function<bool(const Value& event)>& accept) const {
    const std::string path = (init_ ? "spec.initContainers{" : "spec.containers{") + name_ + "}";
    return newest(events_, [&](const Value& event) {
      return event["involvedObject"]["fieldPath"].as_string() == path && accept(event);
    });
  }

  // "5s ago it ended with exit code 1, having run for 3s"
  std::string ending(const Value& end) const {
    const std::string reason = end["reason"].str();
    const auto began = time_in(end["startedAt"]), ended = time_in(end["finishedAt"]);
    std::string out = ended ? explanation_.ago(*ended) + " " : "";
    if (reason == "OOMKilled") {
      const std::string limit = spec_["resources"]["limits"]["memory"].str();
      out += "it was killed for using more memory than " +
             (limit.empty() ? "the node can give it" : "its limit of " + limit) + " (OOMKilled)";
    } else if (reason == "StartError" || reason == "ContainerCannotRun") {
      return out + "it could not be started: " + shortened(end["message"].as_string());
    } else {
      const std::int64_t code = end["exitCode"].as_int();
      out += "it ended with exit code " + std::to_string(code);
      const char* signal = code > 128 && code < 128 + 32 ? ::sigabbrev_np(static_cast<int>(code - 128)) : nullptr;
      if (signal) out += std::string(" (SIG") + signal + ")";
    }
    if (began && ended && *ended >= *began) out += ", having run for " + human_duration(*ended - *began);
    if (const std::string message = shortened(end["message"].as_string(), 160); !message.empty())
      out += "; its last words: " + message;
    return out;
  }

  std::string ending_hint(const Value& end, bool previous) const {
    if (end["reason"].as_string() == "OOMKilled")
      return "raise resources.limits.memory of container " + name_ + "; " + logs(previous);
    if (end["reason"].as_string() == "StartError") return "check command and args of container " + name_;
    return logs(previous);
  }

  // --- Running

  bool running(Line& line, const Value& state) {
    line.state = "running";
    line.since = time_in(state["startedAt"]);
    if (init_ && !sidecar_) {
      line.severity = Severity::kWaiting;
      line.why = "those after it start when it has ended";
      line.hint = logs(false);
      return false;
    }
    const bool started = status_["started"].as_bool(), ready = status_["ready"].as_bool();
    if (!started) {
      not_started(line);
    } else if (!ready && !api::is_terminating(pod_)) {
      line.state = "running, not ready";
      failing_probe(line, "readinessProbe", "Readiness");
    }
    if (line.severity == Severity::kGood) restarts(line);
    return started;
  }

  void not_started(Line& line) {
    line.state = "running, not started";
    if (!spec_["startupProbe"].is_null()) return failing_probe(line, "startupProbe", "Startup");
    line.severity = Severity::kWaiting;
    line.why =
        spec_["lifecycle"]["postStart"].is_null() ? "it has only just started" : "its postStart hook has not ended yet";
  }

  void failing_probe(Line& line, const char* field, const std::string& kind) {
    const Value& probe = spec_[field];
    line.severity = Severity::kWaiting;
    if (probe.is_null()) {
      line.why = "the node has not called it ready yet";
      return;
    }
    const Value last = event([&](const Value& event) {
      return event["reason"].as_string() == "Unhealthy" && event["message"].as_string().starts_with(kind + " probe");
    });
    line.why = "its " + lower(kind) + " probe (" + probe_text(probe) + ") has not passed yet";
    line.hint = logs(false);
    if (last.is_null()) return;
    const auto when = time_of_event(last);
    line.severity = Severity::kBroken;
    line.why = "its " + lower(kind) + " probe (" + probe_text(probe) + ") fails: " +
               shortened(cut(last["message"].as_string(), "failed: ").found
                             ? cut(last["message"].as_string(), "failed: ").after
                             : last["message"].as_string());
    if (when) line.why += " (last " + explanation_.ago(*when) + ")";
  }

  // A container that is well but was restarted gets a note.
  void restarts(Line& line) {
    const std::int64_t count = status_["restartCount"].as_int();
    const Value& last = status_["lastState"]["terminated"];
    if (count == 0 || last.is_null()) return;
    line.severity = Severity::kNote;
    line.state += ", " + counted(count, "restart");
    line.why = "before that: " + ending(last);
    line.hint = ending_hint(last, true);
  }

  // --- Ended

  bool terminated(Line& line, const Value& end) {
    const bool good = end["exitCode"].as_int() == 0;
    line.since = time_in(end["finishedAt"]);
    line.state = good ? "completed" : end["reason"].str("Error");
    if (good) return true;
    if (api::is_terminating(pod_)) {
      line.severity = Severity::kNote;
      return false;
    }
    line.severity = Severity::kBroken;
    line.why = ending(end);
    line.hint = ending_hint(end, false);
    return false;
  }

  // --- Waiting

  bool waiting(Line& line, const Value& state) {
    const std::string reason = state["reason"].str("ContainerCreating"),
                      message = shortened(state["message"].as_string());
    line.state = reason;
    line.severity = Severity::kBroken;
    line.why = message;
    if (reason == "CrashLoopBackOff") {
      crashing(line, state["message"].as_string());
    } else if (reason == "ErrImagePull" || reason == "ImagePullBackOff" || reason == "ErrImageNeverPull" ||
               reason == "InvalidImageName") {
      image(line, reason);
    } else if (reason == "CreateContainerConfigError" || reason == "CreateContainerError" ||
               reason == "RunContainerError") {
      line.hint = describe();
      if (reason == "CreateContainerConfigError")
        line.hint = "create what is missing, or correct the pod; " + describe();
      set_since_first_warning(line);
    } else {
      creating(line);
    }
    return false;
  }

  void set_since_first_warning(Line& line) {
    const Value first = event(is_warning);
    if (!first.is_null()) line.since = time_in(first["firstTimestamp"]);
  }

  void crashing(Line& line, std::string_view message) {
    const Value& end = status_["lastState"]["terminated"];
    const auto ended = time_in(end["finishedAt"]);
    const auto delay = back_off_in(message);
    const Value first = event([](const Value& event) { return event["reason"].as_string() == "BackOff"; });
    const auto began = time_in(first["firstTimestamp"]);
    line.since = began ? began : ended;
    line.why = ending(end) + "; " + counted(status_["restartCount"].as_int(), "restart") + " so far, the next ";
    const bool due = ended && delay && *ended + *delay > explanation_.now();
    line.why += due ? explanation_.ago(*ended + *delay) : "any moment";
    line.hint = ending_hint(end, true);
  }

  void image(Line& line, const std::string& reason) {
    const std::string image = spec_["image"].str();
    // The kubelet's back-off message contains the registry's message after this prefix.
    const Cut cause = cut(line.why, "ErrImagePull: ");
    line.why = "its image " + image + (reason == "InvalidImageName" ? " has no valid name: " : " is not here: ") +
               (cause.found ? std::string(cause.after) : line.why);
    line.hint = reason == "InvalidImageName"
                    ? "correct the name of the image"
                    : "check the name, or bring the image: berth image import FILE --reference " + image;
    set_since_first_warning(line);
  }

  void creating(Line& line) {
    line.severity = Severity::kWaiting;
    const Value pulling = event([](const Value& event) { return event["reason"].as_string() == "Pulling"; });
    const Value pulled = event([](const Value& event) { return event["reason"].as_string() == "Pulled"; });
    if (!pulling.is_null() && pulled.is_null()) {
      line.since = time_of_event(pulling);
      line.why = "its image " + spec_["image"].str() + " is being pulled";
    } else if (line.why.empty()) {
      line.why =
          line.state == "PodInitializing" ? "it starts when the init containers have ended" : "the node is making it";
    }
  }

  Explanation& explanation_;
  const Value& pod_;
  const Value& spec_;
  bool init_, sidecar_;
  const std::vector<Value>& events_;
  std::string name_;
  const Value& status_;
};

}  // namespace

void explain_containers(Explanation& explanation, const Value& pod, const std::vector<Value>& events, int depth) {
  const Value& inits = pod["spec"]["initContainers"];
  std::size_t at = 0;
  while (at < inits.size() && ContainerExplanation(explanation, pod, inits[at], true, events).explain(depth)) ++at;
  const bool initialized = at == inits.size();
  if (initialized || api::condition_is_true(pod, "Initialized")) {
    for (const Value& container : pod["spec"]["containers"])
      ContainerExplanation(explanation, pod, container, false, events).explain(depth);
    return;
  }
  std::vector<std::string> after;
  for (std::size_t i = at + 1; i < inits.size(); ++i) after.push_back(inits[i]["name"].str());
  for (const Value& container : pod["spec"]["containers"]) after.push_back(container["name"].str());
  Line& line = explanation.add(depth, Severity::kNote, and_list(after), "not started");
  line.why = "init container " + inits[at]["name"].str() + " has to end first";
}

}  // namespace berth::why
