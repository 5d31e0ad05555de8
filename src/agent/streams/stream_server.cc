#include "agent/streams/stream_server.h"

#include <map>

#include "base/files.h"
#include "base/text.h"
#include "http/query_flag.h"

namespace berth::agent {
namespace {

void answer_text(http::Exchange& exchange, int status, const std::string& text) {
  exchange.respond(status, "text/plain; charset=utf-8", text);
}

// Also by the parameters' names of kubelet's older API.
http::RemoteOptions requested_streams(const http::Request& request) {
  http::RemoteOptions options = http::remote_options(request);
  auto also = [&request](bool& requested, std::string_view name) {
    requested = requested || http::query_flag(request, name);
  };
  also(options.standard_input, "input");
  also(options.standard_output, "output");
  also(options.standard_error, "error");
  if (options.tty) options.standard_error = false;
  return options;
}

}  // namespace

StreamServer::StreamServer(Loop& loop, Agent& agent, ContainerRuntime& containers)
    : loop_(loop), agent_(agent), containers_(containers) {}
StreamServer::~StreamServer() { lifetime_.end(); }

bool StreamServer::handle(const std::shared_ptr<http::Exchange>& exchange) {
  std::vector<std::string_view> parts = split(exchange->request().path, '/');
  if (parts.size() != 4 || !parts[0].empty()) return false;
  PodPath path{std::string(parts[1]), std::string(parts[2]), std::string(parts[3])};
  static const std::map<std::string_view,
                        void (StreamServer::*)(const std::shared_ptr<http::Exchange>&, const PodPath&)>
      verbs = {{"containerLogs", &StreamServer::serve_logs},
               {"exec", &StreamServer::serve_exec},
               {"attach", &StreamServer::serve_attach},
               {"portforward", &StreamServer::serve_port_forward}};
  auto verb = verbs.find(path.verb);
  if (verb == verbs.end()) return false;
  (this->*verb->second)(exchange, path);
  return true;
}

std::optional<ContainerPlace> StreamServer::running_container(http::Exchange& exchange, const PodPath& path) {
  const http::Request& request = exchange.request();
  if (!check_pod(exchange, path)) return std::nullopt;
  std::string name(request.parameter("container"));
  Result<ContainerPlace> place = agent_.find_container(path.ns, path.pod, name);
  if (name.empty() && !place.ok()) {
    answer_error(exchange, place.error());
    return std::nullopt;
  }
  std::optional<ContainerStatus> status = place.ok() ? containers_.status(place->id) : std::nullopt;
  if (status && status->state == ContainerState::kRunning) return *place;
  const std::string missing = place.ok() ? place->container : name;
  if (path.verb != "attach") {
    answer_text(exchange, 500, "container not found (" + quoted(missing) + ")");
    return std::nullopt;
  }
  // If a stdinOnce container ended before its client attached, the session only replays its log.
  const bool ended = place.ok() && (!status || status->state == ContainerState::kExited);
  if (ended && place->stdin_once && !attached_.contains(place->log_path)) return *place;
  answer_text(exchange, 500, "container " + missing + " not found in pod " + path.pod + "_" + path.ns);
  return std::nullopt;
}

MissedLog StreamServer::take_missed_log(const http::Request& request, const ContainerPlace& container) {
  auto gone = [](const std::string& log) { return !path_exists(log); };
  std::erase_if(attached_, gone);
  logs_read_.forget_gone();
  if (!container.stdin_once || !attached_.insert(container.log_path).second) return {};
  MissedLog missed{container.log_path};
  if (auto read = logs_read_.take(container.log_path, std::string(http::header(request.headers, kClient))))
    missed.read = *read;
  return missed;
}

// The uid distinguishes the pod that the server means from a later one of the same name.
std::optional<PodPlace> StreamServer::check_pod(http::Exchange& exchange, const PodPath& path) {
  Result<PodPlace> pod = agent_.find_pod(path.ns, path.pod);
  std::string_view uid = http::header(exchange.request().headers, "x-berth-pod-uid");
  if (pod.ok() && (uid.empty() || uid == pod->uid)) return *pod;
  answer_text(exchange, 404, "pod does not exist");
  return std::nullopt;
}

std::optional<http::RemoteOptions> StreamServer::check_streams(http::Exchange& exchange) {
  http::RemoteOptions streams = requested_streams(exchange.request());
  if (streams.standard_input || streams.standard_output || streams.standard_error) return streams;
  answer_text(exchange, 400, "you must specify at least 1 of stdin, stdout, stderr");
  return std::nullopt;
}

void StreamServer::serve_exec(const std::shared_ptr<http::Exchange>& exchange, const PodPath& path) {
  std::optional<ContainerPlace> container = running_container(*exchange, path);
  if (!container) return;
  std::optional<http::RemoteOptions> streams = check_streams(*exchange);
  if (!streams) return;
  ContainerRuntime::ExecOptions options{
      {}, streams->tty, streams->standard_input, streams->standard_output, streams->standard_error};
  for (const auto& [key, value] : exchange->request().query) {
    if (key == "command") options.argv.push_back(value);
  }
  if (options.argv.empty())
    return answer_text(*exchange, 400, "you must specify at least one command for the container");
  http::serve_remote_command(
      loop_, exchange, *streams,
      [this, alive = lifetime_.guard(), options, id = container->id](std::unique_ptr<http::RemoteSession> client) {
        if (!alive) return;
        add_session(
            [&](Task done) { return start_exec(loop_, containers_, id, options, std::move(client), std::move(done)); });
      });
}

void StreamServer::serve_attach(const std::shared_ptr<http::Exchange>& exchange, const PodPath& path) {
  std::optional<ContainerPlace> container = running_container(*exchange, path);
  if (!container) return;
  std::optional<http::RemoteOptions> streams = check_streams(*exchange);
  if (!streams) return;
  http::serve_remote_command(loop_, exchange, *streams,
                             [this, alive = lifetime_.guard(), streams = *streams, container = *container,
                              exchange](std::unique_ptr<http::RemoteSession> client) {
                               if (!alive) return;
                               MissedLog missed = take_missed_log(exchange->request(), container);
                               add_session([&](Task done) {
                                 return start_attach(loop_, containers_, container.id, streams, std::move(client),
                                                     std::move(done), std::move(missed));
                               });
                             });
}

void StreamServer::serve_port_forward(const std::shared_ptr<http::Exchange>& exchange, const PodPath& path) {
  std::optional<PodPlace> pod = check_pod(*exchange, path);
  if (!pod) return;
  http::serve_port_forward(
      exchange, [this, alive = lifetime_.guard(), pod = *pod](std::unique_ptr<http::ForwardedPort> client) {
        if (!alive) return;
        add_session([&](Task done) {
          return start_port_forward(loop_, pod.network_namespace, pod.uid, std::move(client), std::move(done));
        });
      });
}

void StreamServer::add_session(const std::function<std::unique_ptr<StreamSession>(Task done)>& start) {
  const std::uint64_t key = ++last_session_;
  // `done` may be called while the session is inside a callback, or is being started: it is destroyed in the next turn.
  sessions_[key] = start([this, alive = lifetime_.guard(), key] {
    loop_.post([this, alive, key] {
      if (alive) sessions_.erase(key);
    });
  });
}

}  // namespace berth::agent
