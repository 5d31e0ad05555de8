// Any datagram must be handled safely.
#include <cstdint>

#include "net/dns/answer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace berth::net::dns;
  static Zone* zone = [] {
    auto* z = new Zone("cluster.local");
    z->replace("x", {{"web.default.svc.cluster.local", RecordType::kA, "10.244.0.2"},
                     {"_http._tcp.web.default.svc.cluster.local", RecordType::kSrv, "web.default.svc.cluster.local", 80,
                      100}});
    return z;
  }();
  std::string_view question(reinterpret_cast<const char*>(data), size);
  (void)answer(*zone, question, false);
  (void)answer(*zone, question, true);
  (void)server_failure(question);
  return 0;
}
