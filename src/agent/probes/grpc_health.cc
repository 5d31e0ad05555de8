#include "agent/probes/grpc_health.h"

#include <nghttp2/nghttp2.h>

#include <cstring>
#include <utility>

#include "base/text.h"

namespace berth::agent {

struct GrpcHealthExchange::Impl {
  nghttp2_session* session = nullptr;
  std::string output, request, answer, status, grpc_status, grpc_message;
  std::size_t sent = 0;
  bool closed = false;
  std::int32_t stream = 0;
};

namespace {

// HealthCheckRequest{service = 1}, in a gRPC frame.
std::string request_frame(const std::string& service) {
  std::string message;
  if (!service.empty() && service.size() < 128) {
    message += '\x0a';
    message += static_cast<char>(service.size());
    message += service;
  }
  std::string frame(5, '\0');
  frame[4] = static_cast<char>(message.size());
  return frame + message;
}

nghttp2_nv header(std::string_view name, std::string_view value) {
  return nghttp2_nv{reinterpret_cast<std::uint8_t*>(const_cast<char*>(name.data())),
                    reinterpret_cast<std::uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(),
                    NGHTTP2_NV_FLAG_NONE};
}

// HealthCheckResponse{status = 1}; UNKNOWN (0) is the default.
int serving_status(const std::string& answer) {
  if (answer.size() < 7 || answer[5] != '\x08') return 0;
  return answer[6];
}

const char* status_name(int status) {
  static constexpr const char* kNames[] = {"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"};
  return status >= 0 && status < 4 ? kNames[status] : "UNKNOWN";
}

}  // namespace

GrpcHealthExchange::GrpcHealthExchange(const std::string& authority, const std::string& service)
    : impl_(std::make_unique<Impl>()) {
  Impl& s = *impl_;
  s.request = request_frame(service);
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_session_callbacks_new(&callbacks);
  nghttp2_session_callbacks_set_on_header_callback(
      callbacks,
      [](nghttp2_session*, const nghttp2_frame*, const std::uint8_t* name, std::size_t name_size,
         const std::uint8_t* value, std::size_t value_size, std::uint8_t, void* user) -> int {
        auto& s = *static_cast<Impl*>(user);
        std::string_view n(reinterpret_cast<const char*>(name), name_size),
            v(reinterpret_cast<const char*>(value), value_size);
        if (n == ":status") s.status = v;
        if (n == "grpc-status") s.grpc_status = v;
        if (n == "grpc-message") s.grpc_message = v;
        return 0;
      });
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
      callbacks,
      [](nghttp2_session*, std::uint8_t, std::int32_t, const std::uint8_t* data, std::size_t size, void* user) -> int {
        auto& s = *static_cast<Impl*>(user);
        if (s.answer.size() + size <= 4096) s.answer.append(reinterpret_cast<const char*>(data), size);
        return 0;
      });
  nghttp2_session_callbacks_set_on_stream_close_callback(
      callbacks, [](nghttp2_session*, std::int32_t, std::uint32_t, void* user) -> int {
        static_cast<Impl*>(user)->closed = true;
        return 0;
      });
  nghttp2_session_client_new(&s.session, callbacks, &s);
  nghttp2_session_callbacks_del(callbacks);
  nghttp2_submit_settings(s.session, NGHTTP2_FLAG_NONE, nullptr, 0);
  nghttp2_nv headers[] = {header(":method", "POST"),
                          header(":scheme", "http"),
                          header(":path", "/grpc.health.v1.Health/Check"),
                          header(":authority", authority),
                          header("content-type", "application/grpc"),
                          header("te", "trailers"),
                          header("user-agent", "kube-probe/1.36")};
  nghttp2_data_provider body{};
  body.read_callback = [](nghttp2_session*, std::int32_t, std::uint8_t* out, std::size_t room, std::uint32_t* flags,
                          nghttp2_data_source*, void* user) -> ssize_t {
    auto& s = *static_cast<Impl*>(user);
    std::size_t n = std::min(room, s.request.size() - s.sent);
    std::memcpy(out, s.request.data() + s.sent, n);
    s.sent += n;
    if (s.sent == s.request.size()) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(n);
  };
  s.stream = nghttp2_submit_request(s.session, nullptr, headers, std::size(headers), &body, nullptr);
}

GrpcHealthExchange::~GrpcHealthExchange() { nghttp2_session_del(impl_->session); }

std::string GrpcHealthExchange::take_output() {
  std::string out = std::exchange(impl_->output, {});
  for (;;) {
    const std::uint8_t* data = nullptr;
    ssize_t n = nghttp2_session_mem_send(impl_->session, &data);
    if (n <= 0) return out;
    out.append(reinterpret_cast<const char*>(data), static_cast<std::size_t>(n));
  }
}

std::optional<ProbeResult> GrpcHealthExchange::feed(std::string_view received) {
  Impl& s = *impl_;
  auto* bytes = reinterpret_cast<const std::uint8_t*>(received.data());
  auto taken = nghttp2_session_mem_recv(s.session, bytes, received.size());
  // After a protocol error the session only sends GOAWAY, and reads no more.
  s.output = take_output();
  if (taken < 0 || (!s.closed && nghttp2_session_want_read(s.session) == 0)) {
    return ProbeResult{false, "error: health rpc failed: the peer does not speak HTTP/2"};
  }
  if (!s.closed) return std::nullopt;
  if (s.grpc_status == "12")
    return ProbeResult{
        false,
        "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): " + s.grpc_message};
  if (s.grpc_status != "0")
    return ProbeResult{
        false, "error: health rpc probe failed: rpc error: code = " + s.grpc_status + " desc = " + s.grpc_message};
  int status = serving_status(s.answer);
  if (status == 1) return ProbeResult{true, "service healthy"};
  return ProbeResult{false, std::string("service unhealthy (responded with \"") + status_name(status) + "\")"};
}

}  // namespace berth::agent
