#include <zlib.h>

#include <unordered_set>

#include "base/lifetime.h"
#include "base/phase.h"
#include "base/text.h"
#include "http/exchange_phase.h"
#include "http/streams/mux.h"
#include "http/streams/spdy_dictionary.h"

namespace berth::http {

namespace {

constexpr std::size_t kMaxBacklog = 1u << 20;  // of the channel's backlog: write() returns false above
constexpr std::size_t kMaxFrame = 1u << 20;
constexpr std::size_t kMaxHeaderBlock = 64u << 10;
constexpr std::size_t kMaxStreams = 1000;

enum Type : std::uint16_t {
  kSynStream = 1,
  kSynReply = 2,
  kRstStream = 3,
  kSettings = 4,
  kPing = 6,
  kGoAway = 7,
  kHeaders = 8,
  kWindowUpdate = 9
};
constexpr std::uint8_t kFin = 1;
constexpr std::uint32_t kProtocolError = 1, kRefused = 3;

std::uint32_t read32(std::string_view bytes, std::size_t at) {
  auto b = [&](std::size_t i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[at + i])); };
  return b(0) << 24 | b(1) << 16 | b(2) << 8 | b(3);
}
void put32(std::string& out, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift & 0xff));
}

// One direction of header compression, which lasts as long as the connection.
class Inflater {
 public:
  Inflater() { inflateInit(&stream_); }
  ~Inflater() { inflateEnd(&stream_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  bool run(std::string_view in, std::string& out) {
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));
    stream_.avail_in = static_cast<uInt>(in.size());
    char room[4096];
    do {
      stream_.next_out = reinterpret_cast<Bytef*>(room);
      stream_.avail_out = sizeof room;
      int result = inflate(&stream_, Z_SYNC_FLUSH);
      if (result == Z_NEED_DICT) {
        const std::string& words = spdy_dictionary();
        if (inflateSetDictionary(&stream_, reinterpret_cast<const Bytef*>(words.data()),
                                 static_cast<uInt>(words.size())) != Z_OK)
          return false;
        continue;
      }
      if (result != Z_OK && result != Z_BUF_ERROR) return false;
      out.append(room, sizeof room - stream_.avail_out);
      if (out.size() > kMaxHeaderBlock) return false;
      if (result == Z_BUF_ERROR) break;
    } while (stream_.avail_in > 0 || stream_.avail_out == 0);
    return stream_.avail_in == 0;
  }

 private:
  z_stream stream_{};
};

class Deflater {
 public:
  Deflater() {
    deflateInit(&stream_, Z_BEST_SPEED);
    const std::string& words = spdy_dictionary();
    deflateSetDictionary(&stream_, reinterpret_cast<const Bytef*>(words.data()), static_cast<uInt>(words.size()));
  }
  ~Deflater() { deflateEnd(&stream_); }
  Deflater(const Deflater&) = delete;
  Deflater& operator=(const Deflater&) = delete;
  std::string run(std::string_view in) {
    std::string out(in.size() + 1024, '\0');
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));
    stream_.avail_in = static_cast<uInt>(in.size());
    stream_.next_out = reinterpret_cast<Bytef*>(out.data());
    stream_.avail_out = static_cast<uInt>(out.size());
    deflate(&stream_, Z_SYNC_FLUSH);
    out.resize(out.size() - stream_.avail_out);
    return out;
  }

 private:
  z_stream stream_{};
};

class SpdyImpl final : public SpdyConnection {
 public:
  SpdyImpl(std::unique_ptr<Channel> channel, Events events) : channel_(std::move(channel)), events_(std::move(events)) {
    channel_->on_read([this](std::string_view bytes) { input(bytes); });
    channel_->on_close([this] { closed(); });
    channel_->on_drain([this] {
      if (events_.drained) events_.drained();
    });
  }
  ~SpdyImpl() override { lifetime_.end(); }

  bool write(std::uint32_t stream, std::string_view bytes, bool last) override {
    if (phase_ != ChannelPhase::kOpen || !ours_open_.contains(stream)) return true;
    do {
      std::string_view part = bytes.substr(0, 32u << 10);
      bytes.remove_prefix(part.size());
      bool fin = last && bytes.empty();
      if (part.empty() && !fin) break;
      std::string frame;
      frame.reserve(8 + part.size());
      put32(frame, stream);
      put32(frame, static_cast<std::uint32_t>(part.size()) | (fin ? std::uint32_t{kFin} << 24 : 0));
      frame.append(part);
      channel_->write(std::move(frame));
    } while (!bytes.empty());
    if (last) ours_open_.erase(stream);
    return channel_->backlog() < kMaxBacklog;
  }
  void reset(std::uint32_t stream, std::uint32_t status) override {
    ours_open_.erase(stream);
    theirs_open_.erase(stream);
    std::string body;
    put32(body, stream);
    put32(body, status);
    control(kRstStream, 0, body);
  }
  void close() override {
    if (phase_ != ChannelPhase::kOpen) return;
    std::string body;
    put32(body, last_stream_);
    put32(body, 0);
    control(kGoAway, 0, body);
    advance(ChannelEvent::kCloseRequested);
    channel_->close();
  }
  void pause_reading(bool pause) override { channel_->pause_reading(pause); }

 private:
  void advance(ChannelEvent event) { phase_.apply(event); }
  void control(Type type, std::uint8_t flags, std::string_view body) {
    if (phase_ != ChannelPhase::kOpen) return;
    std::string frame = {'\x80', '\x03', '\0', static_cast<char>(type)};
    put32(frame, static_cast<std::uint32_t>(flags) << 24 | static_cast<std::uint32_t>(body.size()));
    frame.append(body);
    channel_->write(std::move(frame));
  }

  void input(std::string_view bytes) {
    if (phase_ != ChannelPhase::kOpen) return;
    const auto alive = lifetime_.guard();
    std::string joined;
    if (!rest_.empty()) {
      joined = std::move(rest_);
      joined.append(bytes);
      bytes = joined;
    }
    rest_.clear();
    while (bytes.size() >= 8) {
      std::size_t size = read32(bytes, 4) & 0xffffff;
      if (size > kMaxFrame) return protocol_error();
      if (bytes.size() < 8 + size) break;
      std::string_view head = bytes.substr(0, 8), body = bytes.substr(8, size);
      bool good = static_cast<unsigned char>(head[0]) & 0x80 ? control_frame(head, body) : data_frame(head, body);
      if (!alive) return;
      if (phase_ != ChannelPhase::kOpen) return;
      if (!good) return protocol_error();
      bytes.remove_prefix(8 + size);
    }
    rest_.assign(bytes);
  }

  bool data_frame(std::string_view head, std::string_view body) {
    std::uint32_t stream = read32(head, 0) & 0x7fffffff;
    bool fin = static_cast<unsigned char>(head[4]) & kFin;
    if (!theirs_open_.contains(stream)) return true;  // of a stream that has been reset
    const auto alive = lifetime_.guard();
    if (!body.empty()) {
      for (std::uint32_t id : {stream, std::uint32_t{0}}) {
        std::string update;
        put32(update, id);
        put32(update, static_cast<std::uint32_t>(body.size()));
        control(kWindowUpdate, 0, update);
      }
      if (events_.data) events_.data(stream, body);
      if (!alive) return true;
    }
    if (fin && theirs_open_.erase(stream) && events_.ended) events_.ended(stream);
    return true;
  }

  bool control_frame(std::string_view head, std::string_view body) {
    if ((read32(head, 0) >> 16 & 0x7fff) != 3) return false;
    std::uint8_t flags = static_cast<std::uint8_t>(head[4]);
    switch (read32(head, 0) & 0xffff) {
      case kSynStream: return opened(flags, body);
      case kRstStream: {
        if (body.size() != 8) return false;
        std::uint32_t stream = read32(body, 0) & 0x7fffffff;
        bool known = ours_open_.erase(stream) + theirs_open_.erase(stream) > 0;
        if (known && events_.reset) events_.reset(stream);
        return true;
      }
      case kPing:
        if (body.size() != 4) return false;
        if (read32(body, 0) % 2 == 1) control(kPing, 0, body);  // odd: the client's own, to be echoed
        return true;
      case kHeaders: {
        // Header compression is one stream over all blocks, so ignored ones are inflated too.
        std::string text;
        return body.size() >= 4 && inflater_.run(body.substr(4), text);
      }
      case kGoAway:
      case kSettings:
      case kWindowUpdate: return true;
      default: return true;
    }
  }

  bool opened(std::uint8_t flags, std::string_view body) {
    if (body.size() < 10) return false;
    std::uint32_t stream = read32(body, 0) & 0x7fffffff;
    std::string text;
    if (!inflater_.run(body.substr(10), text)) return false;
    if (stream % 2 == 0 || stream <= last_stream_) return false;
    last_stream_ = stream;
    Headers headers;
    if (!parse_headers(text, headers)) return false;
    if (ours_open_.size() >= kMaxStreams) {
      reset(stream, kRefused);
      return true;
    }
    ours_open_.insert(stream);
    theirs_open_.insert(stream);
    std::string reply;
    put32(reply, stream);
    std::string none;
    put32(none, 0);
    reply.append(deflater_.run(none));
    control(kSynReply, 0, reply);
    const auto alive = lifetime_.guard();
    if (events_.opened) events_.opened(stream, headers);
    if (!alive) return true;
    if ((flags & kFin) && theirs_open_.erase(stream) && events_.ended) events_.ended(stream);
    return true;
  }

  static bool parse_headers(std::string_view text, Headers& headers) {
    if (text.size() < 4) return false;
    std::uint32_t count = read32(text, 0);
    text.remove_prefix(4);
    auto read_string = [&text](std::string& out) {
      if (text.size() < 4) return false;
      std::size_t size = read32(text, 0);
      text.remove_prefix(4);
      if (size > text.size()) return false;
      out.assign(text.substr(0, size));
      text.remove_prefix(size);
      return true;
    };
    if (count > 1000) return false;
    for (std::uint32_t i = 0; i < count; ++i) {
      auto& [name, value] = headers.emplace_back();
      if (!read_string(name) || !read_string(value)) return false;
      name = lower(name);
    }
    return text.empty();
  }

  void protocol_error() {
    std::string body;
    put32(body, last_stream_);
    put32(body, kProtocolError);
    control(kGoAway, 0, body);
    channel_->close();
    closed();
  }
  void closed() {
    if (phase_ == ChannelPhase::kClosed) return;
    advance(ChannelEvent::kPeerGone);
    Task closed = std::move(events_.closed);
    events_.closed = nullptr;
    if (closed) closed();
  }

  std::unique_ptr<Channel> channel_;
  Events events_;
  Inflater inflater_;
  Deflater deflater_;
  std::string rest_;                                           // of the input: an incomplete frame
  std::unordered_set<std::uint32_t> ours_open_, theirs_open_;  // directions that are still open
  std::uint32_t last_stream_ = 0;
  Lifetime lifetime_;
  Phase<ChannelPhase, ChannelEvent> phase_{ChannelPhase::kOpen};
};

}  // namespace

std::unique_ptr<SpdyConnection> make_spdy_connection(std::unique_ptr<Channel> channel, SpdyConnection::Events events) {
  return std::make_unique<SpdyImpl>(std::move(channel), std::move(events));
}

}  // namespace berth::http
