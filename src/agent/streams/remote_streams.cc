// exec, attach and port forwarding: what is asked for, checked and refused in the words of other Kubernetes nodes.
#include "agent/streams/remote_work.h"
#include "agent/streams/stream_server.h"
#include "api/status.h"
#include "base/files.h"
#include "base/text.h"
#include "http/query_flag.h"

namespace berth::agent {
namespace {

void answer_text(http::Exchange& exchange, int status, const std::string& text) {
  exchange.respond(status, "text/plain; charset=utf-8", text);
}

// Also by the names that nodes themselves once used.
http::RemoteOptions wanted_streams(const http::Request& request) {
  http::RemoteOptions options = http::remote_options(request);
  auto also = [&request](bool& wanted, std::string_view name) { wanted = wanted || http::query_flag(request, name); };
  also(options.standard_input, "input");
  also(options.standard_output, "output");
  also(options.standard_error, "error");
  if (options.tty) options.standard_error = false;
  return options;
}

}  // namespace

// Refused before anything is upgraded; nothing where it has been answered.
std::optional<ContainerPlace> StreamServer::running_container(http::Exchange& exchange, const Place& place) {
  const http::Request& request = exchange.request();
  if (!check_pod(exchange, place)) return std::nullopt;
  std::string name(request.parameter("container"));
  Result<ContainerPlace> found = agent_.find_container(place.ns, place.pod, name);
  if (name.empty() && !found.ok()) {
    answer_error(exchange, found.error());
    return std::nullopt;
  }
  std::optional<ContainerStatus> status = found.ok() ? containers_.status(found->id) : std::nullopt;
  if (status && status->state == ContainerState::kRunning) return *found;
  const std::string missing = found.ok() ? found->container : name;
  if (place.verb != "attach") {
    answer_text(exchange, 500, "container not found (" + quoted(missing) + ")");
    return std::nullopt;
  }
  // Attaching to a stdinOnce container that ended before anybody attached replays its log.
  const bool ended = found.ok() && (!status || status->state == ContainerState::kExited);
  if (ended && found->stdin_once && !attached_.contains(found->log_path)) return *found;
  answer_text(exchange, 500, "container " + missing + " not found in pod " + place.pod + "_" + place.ns);
  return std::nullopt;
}

MissedLog StreamServer::take_missed(const http::Request& request, const ContainerPlace& container) {
  auto gone = [](const std::string& log) { return !path_exists(log); };
  std::erase_if(attached_, gone);
  read_.forget_gone();
  if (!container.stdin_once || !attached_.insert(container.log_path).second) return {};
  MissedLog missed{container.log_path};
  if (auto read = read_.take(container.log_path, std::string(http::header(request.headers, kClient))))
    missed.read = *read;
  return missed;
}

// A pod of the same name that came after the one that is meant is another one.
std::optional<PodPlace> StreamServer::check_pod(http::Exchange& exchange, const Place& place) {
  Result<PodPlace> pod = agent_.find_pod(place.ns, place.pod);
  std::string_view uid = http::header(exchange.request().headers, "x-berth-pod-uid");
  if (pod.ok() && (uid.empty() || uid == pod->uid)) return *pod;
  answer_text(exchange, 404, "pod does not exist");
  return std::nullopt;
}

void StreamServer::serve_process(const std::shared_ptr<http::Exchange>& exchange, const Place& place) {
  std::optional<ContainerPlace> container = running_container(*exchange, place);
  if (!container) return;
  http::RemoteOptions streams = wanted_streams(exchange->request());
  if (!streams.standard_input && !streams.standard_output && !streams.standard_error) {
    return answer_text(*exchange, 400, "you must specify at least 1 of stdin, stdout, stderr");
  }
  ContainerRuntime::ExecOptions options{
      {}, streams.tty, streams.standard_input, streams.standard_output, streams.standard_error};
  for (const auto& [key, value] : exchange->request().query) {
    if (key == "command") options.argv.push_back(value);
  }
  bool attach = place.verb == "attach";
  if (!attach && options.argv.empty())
    return answer_text(*exchange, 400, "you must specify at least one command for the container");
  http::serve_remote_command(loop_, exchange, streams,
                             [this, alive = lifetime_.guard(), attach, streams, options, container = *container,
                              request = exchange](std::unique_ptr<http::RemoteSession> session) {
                               if (!alive) return;
                               MissedLog missed = attach ? take_missed(request->request(), container) : MissedLog();
                               begin([&](Task over) {
                                 return attach ? run_attach(loop_, containers_, container.id, streams,
                                                            std::move(session), std::move(over), std::move(missed))
                                               : run_exec(loop_, containers_, container.id, options, std::move(session),
                                                          std::move(over));
                               });
                             });
}

void StreamServer::serve_ports(const std::shared_ptr<http::Exchange>& exchange, const Place& place) {
  std::optional<PodPlace> pod = check_pod(*exchange, place);
  if (!pod) return;
  http::serve_port_forward(
      exchange, [this, alive = lifetime_.guard(), pod = *pod](std::unique_ptr<http::ForwardedPort> port) {
        if (!alive) return;
        begin([&](Task over) {
          return forward_port(loop_, pod.network_namespace, pod.uid, std::move(port), std::move(over));
        });
      });
}

void StreamServer::begin(const std::function<std::unique_ptr<RemoteWork>(Task over)>& make) {
  std::uint64_t key = ++last_work_;
  // Not from inside the work's own call, which may even be the one that makes it.
  works_[key] = make([this, alive = lifetime_.guard(), key] {
    loop_.post([this, alive, key] {
      if (alive) works_.erase(key);
    });
  });
}

}  // namespace berth::agent
