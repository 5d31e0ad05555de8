#include "agent/probes/probe_runner.h"

#include <unordered_map>

#include "agent/probes/http_probe.h"
#include "base/text.h"

namespace berth::agent {
namespace {

constexpr std::size_t kMostProbeOutput = 10 * 1024;
constexpr Duration kNoLimit = 24h;  // of lifecycle hooks, which have no timeout

class Runner final : public ProbeRunner {
 public:
  Runner(Loop& loop, ContainerRuntime& containers) : loop_(loop), containers_(containers) {}

  void run(const Value& action, const ProbeTarget& target, Duration timeout,
           Function<void(ProbeResult)> done) override {
    if (timeout <= Duration::zero()) timeout = kNoLimit;
    if (!action["exec"].is_null()) return exec(action["exec"], target, timeout, std::move(done));
    const Value& container = target.container ? *target.container : kNone;
    const Value& http = action["httpGet"];
    const Value& grpc = action["grpc"];
    const Value& kind = !http.is_null() ? http : !grpc.is_null() ? grpc : action["tcpSocket"];
    const Value& port = kind["port"];
    ProbeAddress address{kind["host"].str(), probe_port(port, container)};
    if (address.host.empty()) address.host = target.pod_ip;
    if (address.port <= 0 || address.port > 65535) {
      loop_.post([done = std::move(done), why = port_error(port, address.port)] { done({false, why, true}); });
      return;
    }
    std::uint64_t key = ++next_;
    auto finished = [this, key, done = std::move(done)](ProbeResult result) {
      auto self = std::move(connections_[key]);
      connections_.erase(key);
      result.refused = !result.good && result.output.ends_with(kRefused);
      done(std::move(result));
    };
    if (!http.is_null()) {
      std::string scheme = lower(http["scheme"].as_string("http"));
      HttpProbe probe{probe_url(scheme.empty() ? "http" : scheme, address.host, address.port, http["path"].str()),
                      headers_of(http, target.hook), target.hook};
      connections_[key] = start_http_probe(loop_, std::move(probe), timeout, std::move(finished));
    } else if (!grpc.is_null()) {
      connections_[key] = start_grpc_probe(loop_, address, grpc["service"].str(), timeout, std::move(finished));
    } else {
      connections_[key] = start_tcp_probe(loop_, address, timeout, std::move(finished));
    }
  }

 private:
  void exec(const Value& action, const ProbeTarget& target, Duration timeout, Function<void(ProbeResult)> done) {
    std::vector<std::string> argv;
    for (const Value& word : action["command"]) argv.push_back(word.str());
    std::string command = join(argv, " ");
    containers_.exec(target.container_id, std::move(argv), timeout,
                     [timeout, command = std::move(command), done = std::move(done)](Result<ExecResult> result) {
                       if (result.failed_with(Code::kTimeout)) {
                         auto seconds = std::chrono::duration_cast<std::chrono::seconds>(timeout).count();
                         return done({false, "command timed out: " + quoted(command) + " timed out after " +
                                                 std::to_string(seconds) + "s"});
                       }
                       if (!result.ok()) return done({false, result.error().message, true});
                       done({result->exit_code == 0, result->output.substr(0, kMostProbeOutput)});
                     });
  }

  // As with kubelet: a name that no container port has is parsed as a number.
  static std::string port_error(const Value& port, int number) {
    if (port.is_int() || number != 0) return "invalid port number: " + std::to_string(number);
    return "strconv.Atoi: parsing " + quoted(port.as_string()) + ": invalid syntax";
  }

  static std::vector<std::pair<std::string, std::string>> headers_of(const Value& http, bool hook) {
    std::vector<std::pair<std::string, std::string>> out;
    bool agent = false, accept = false;
    for (const Value& header : http["httpHeaders"]) {
      std::string name = header["name"].str(), value = header["value"].str();
      agent = agent || iequals(name, "user-agent");
      accept = accept || iequals(name, "accept");
      // An empty value removes the default header.
      if (value.empty() && (iequals(name, "user-agent") || iequals(name, "accept"))) continue;
      out.emplace_back(std::move(name), std::move(value));
    }
    if (!agent) out.emplace_back("User-Agent", hook ? "kube-lifecycle/1.36" : "kube-probe/1.36");
    if (!accept) out.emplace_back("Accept", "*/*");
    return out;
  }

  inline static const Value kNone;
  static constexpr std::string_view kRefused = "connect: connection refused";
  Loop& loop_;
  ContainerRuntime& containers_;
  std::unordered_map<std::uint64_t, std::unique_ptr<ProbeConnection>> connections_;
  std::uint64_t next_ = 0;
};

}  // namespace

int probe_port(const Value& port, const Value& container) {
  if (port.is_int()) return static_cast<int>(port.as_int());
  if (auto number = parse_int(port.as_string()); number.ok()) return static_cast<int>(*number);
  for (const Value& entry : container["ports"]) {
    if (entry["name"] == port) return static_cast<int>(entry["containerPort"].as_int());
  }
  return 0;
}

std::unique_ptr<ProbeRunner> make_probe_runner(Loop& loop, ContainerRuntime& containers) {
  return std::make_unique<Runner>(loop, containers);
}

}  // namespace berth::agent
