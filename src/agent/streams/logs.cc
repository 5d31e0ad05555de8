// kubectl logs: a LogReader writes to the exchange, as fast as its client reads.
#include <utility>

#include "agent/logs/container_logs.h"
#include "agent/streams/stream_server.h"
#include "api/status.h"
#include "base/text.h"
#include "base/time/time.h"
#include "http/query_flag.h"

namespace berth::agent {
namespace {

Result<LogOptions> log_options(const http::Request& request, Time now) {
  LogOptions options;
  options.follow = http::query_flag(request, "follow");
  options.timestamps = http::query_flag(request, "timestamps");
  options.stream = request.parameter("stream");
  auto number = [&](std::string_view name, std::int64_t& into) -> Status {
    std::string_view text = request.parameter(name);
    if (text.empty()) return ok_status();
    Result<long> value = parse_int(text);
    if (!value.ok() || *value < 0)
      return error(Code::kBadRequest,
                   std::string(name) + ": expected a number that is not negative, found " + quoted(text));
    into = *value;
    return ok_status();
  };
  BERTH_TRY(number("tailLines", options.tail_lines));
  BERTH_TRY(number("limitBytes", options.limit_bytes));
  std::int64_t since = -1;
  BERTH_TRY(number("sinceSeconds", since));
  if (since >= 0) options.since = now - std::chrono::seconds(since);
  if (std::string_view text = request.parameter("sinceTime"); !text.empty()) {
    BERTH_ASSIGN(Time time, parse_time(text));
    options.since = time;
  }
  return options;
}

// One `kubectl logs`: the reader and the exchange that it writes to. Owned by the exchange's callbacks.
struct LogStream : std::enable_shared_from_this<LogStream> {
  std::shared_ptr<http::Exchange> exchange;
  std::unique_ptr<LogReader> reader;

  // To be called when the log or its client has ended. The exchange's callbacks own this, and this owns the exchange:
  // both are let go, in a later task, since the reader or the exchange is the caller.
  void release(Loop& loop) {
    loop.post([self = shared_from_this()] {
      self->reader.reset();
      const std::shared_ptr<http::Exchange> released = std::exchange(self->exchange, nullptr);
      if (!released) return;
      released->on_drain({});
      released->on_close({});
    });
  }
};

}  // namespace

void StreamServer::serve_logs(const std::shared_ptr<http::Exchange>& exchange, const PodPath& path) {
  const http::Request& request = exchange->request();
  Result<LogOptions> options = log_options(request, loop_.now());
  if (!options.ok()) return answer_error(*exchange, options.error());
  bool previous = http::query_flag(request, "previous");
  std::string container(request.parameter("container"));
  Result<ContainerPlace> found = agent_.find_container(path.ns, path.pod, container, previous);
  if (!found.ok()) return answer_error(*exchange, found.error());
  auto stream = std::make_shared<LogStream>();
  stream->exchange = exchange;
  std::weak_ptr<LogStream> weak = stream;
  auto running = [this, id = found->id, previous] {
    if (previous) return false;
    std::optional<ContainerStatus> status = containers_.status(id);
    return status && (status->state == ContainerState::kRunning || status->state == ContainerState::kCreated);
  };
  auto ended = [this, weak, follow = options->follow || previous, place = *found,
                client = std::string(http::header(request.headers, kClient))] {
    auto self = weak.lock();
    if (!self || !self->exchange) return;
    if (!follow && place.stdin_once && !attached_.contains(place.log_path))
      logs_read_.note(place.log_path, client, self->reader->offset());
    self->exchange->finish();
    self->release(loop_);
  };
  stream->reader = std::make_unique<LogReader>(
      loop_, *options,
      [weak](std::string text) {
        auto self = weak.lock();
        return self && self->exchange && self->exchange->write({http::SharedBytes::of(std::move(text))});
      },
      ended, running);
  if (Status opened = stream->reader->open(found->log_path); !opened.ok()) {
    // A container that was made and never wrote has an empty log.
    exchange->respond(200, "text/plain", "");
    return;
  }
  exchange->start(200, {{"content-type", "text/plain"}});
  exchange->on_drain([stream] {
    if (stream->reader) stream->reader->resume();
  });
  exchange->on_close([stream, this] { stream->release(loop_); });
}

}  // namespace berth::agent
