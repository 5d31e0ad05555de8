#include "agent/probes/probe_runner.h"

#include <unordered_map>

#include "agent/probes/network_probe.h"
#include "base/text.h"
#include "http/client.h"

namespace berth::agent {
namespace {

constexpr Duration kNoLimit = 24h;  // hooks have none of their own

class Runner final : public ProbeRunner {
 public:
  Runner(Loop& loop, ContainerRuntime& containers) : loop_(loop), containers_(containers) {}

  void run(const Value& action, const ProbeTarget& target, Duration timeout,
           Function<void(ProbeResult)> done) override {
    if (timeout <= Duration::zero()) timeout = kNoLimit;
    if (!action["exec"].is_null()) return exec(action["exec"], target, timeout, std::move(done));
    NetworkProbe probe;
    const Value* port = nullptr;
    const Value& container = target.container ? *target.container : kNone;
    if (const Value& http = action["httpGet"]; !http.is_null()) {
      probe.kind = NetworkProbe::Kind::kHttp;
      probe.host = http["host"].str(target.pod_ip);
      if (probe.host.empty()) probe.host = target.pod_ip;
      port = &http["port"];
      probe.port = probe_port(*port, container);
      probe.url = url_of(http, probe, "http");
      probe.request = request_of(http, probe);
    } else if (const Value& grpc = action["grpc"]; !grpc.is_null()) {
      probe.kind = NetworkProbe::Kind::kGrpc;
      probe.host = target.pod_ip;
      port = &grpc["port"];
      probe.port = static_cast<int>(port->as_int());
      probe.service = grpc["service"].str();
    } else {
      const Value& tcp = action["tcpSocket"];
      probe.host = tcp["host"].str(target.pod_ip);
      if (probe.host.empty()) probe.host = target.pod_ip;
      port = &tcp["port"];
      probe.port = probe_port(*port, container);
    }
    if (probe.port <= 0 || probe.port > 65535) {
      loop_.post([done = std::move(done), why = port_error(*port, probe.port)] { done({false, why, true}); });
      return;
    }
    if (lower(action["httpGet"]["scheme"].as_string()) == "https") return https(action["httpGet"], probe, timeout, std::move(done));
    std::uint64_t key = ++next_;
    connections_[key] =
        start_network_probe(loop_, probe, timeout, [this, key, done = std::move(done)](ProbeResult result) {
          auto self = std::move(connections_[key]);
          connections_.erase(key);
          done(std::move(result));
        });
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
                         return done({false, "command timed out: " + quoted(command) + " timed out after " + std::to_string(seconds) + "s"});
                       }
                       if (!result.ok()) return done({false, result.error().message, true});
                       std::string output = result->output;
                       done({result->exit_code == 0, std::move(output)});
                     });
  }

  // A name that no port of the container has is taken for a number.
  static std::string port_error(const Value& port, int number) {
    if (port.is_int() || number != 0) return "invalid port number: " + std::to_string(number);
    return "strconv.Atoi: parsing " + quoted(port.as_string()) + ": invalid syntax";
  }

  static std::string path_of(const Value& http) {
    std::string path = http["path"].str("/");
    return path.starts_with("/") ? path : "/" + path;
  }
  static std::string url_of(const Value& http, const NetworkProbe& probe, const char* scheme) {
    return std::string(scheme) + "://" + probe.host + ":" + std::to_string(probe.port) + path_of(http);
  }
  static std::vector<std::pair<std::string, std::string>> headers_of(const Value& http) {
    std::vector<std::pair<std::string, std::string>> out;
    bool agent = false, accept = false;
    for (const Value& header : http["httpHeaders"]) {
      agent = agent || iequals(header["name"].as_string(), "user-agent");
      accept = accept || iequals(header["name"].as_string(), "accept");
      out.emplace_back(header["name"].str(), header["value"].str());
    }
    if (!agent) out.emplace_back("User-Agent", "kube-probe/1.36");
    if (!accept) out.emplace_back("Accept", "*/*");
    return out;
  }
  static std::string request_of(const Value& http, const NetworkProbe& probe) {
    std::string head = "GET " + path_of(http) + " HTTP/1.1\r\n";
    bool host = false;
    for (const auto& [name, value] : headers_of(http)) {
      host = host || iequals(name, "host");
      head += name + ": " + value + "\r\n";
    }
    if (!host) head += "Host: " + probe.host + ":" + std::to_string(probe.port) + "\r\n";
    return head + "Connection: close\r\n\r\n";
  }

  void https(const Value& http, const NetworkProbe& probe, Duration timeout, Function<void(ProbeResult)> done) {
    http::Endpoint endpoint;
    endpoint.address = probe.host + ":" + std::to_string(probe.port);
    endpoint.tls = endpoint.insecure = true;
    endpoint.server_name = probe.host;
    endpoint.connect_timeout = timeout;
    std::uint64_t key = ++next_;
    clients_[key] = http::make_client(loop_, endpoint);
    http::Outgoing request;
    request.target = path_of(http);
    request.headers = headers_of(http);
    request.timeout = timeout;
    std::string url = url_of(http, probe, "https");
    clients_[key]->send(std::move(request), [this, key, url, done = std::move(done)](Result<http::Response> answer) {
      // Not destroyed from inside its own callback.
      loop_.post([client = std::shared_ptr<http::Client>(std::move(clients_[key]))] {});
      clients_.erase(key);
      if (!answer.ok()) return done({false, "Get " + quoted(url) + ": " + answer.error().message});
      if (answer->status >= 200 && answer->status < 400) return done({true, ""});
      done({false, "HTTP probe failed with statuscode: " + std::to_string(answer->status)});
    });
  }

  inline static const Value kNone;
  Loop& loop_;
  ContainerRuntime& containers_;
  std::unordered_map<std::uint64_t, std::unique_ptr<ProbeConnection>> connections_;
  std::unordered_map<std::uint64_t, std::unique_ptr<http::Client>> clients_;
  std::uint64_t next_ = 0;
};

}  // namespace

int probe_port(const Value& port, const Value& container) {
  if (port.is_int()) return static_cast<int>(port.as_int());
  if (auto number = parse_int(port.as_string()); number.ok()) return static_cast<int>(*number);
  for (const Value& one : container["ports"]) {
    if (one["name"] == port) return static_cast<int>(one["containerPort"].as_int());
  }
  return 0;
}

std::unique_ptr<ProbeRunner> make_probe_runner(Loop& loop, ContainerRuntime& containers) {
  return std::make_unique<Runner>(loop, containers);
}

}  // namespace berth::agent
