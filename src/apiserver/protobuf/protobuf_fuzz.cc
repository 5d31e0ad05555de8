// No request body in protobuf may harm the server.
#include <cstdint>

#include "apiserver/protobuf/protobuf.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  (void)berth::apiserver::protobuf::decode(berth::api::schema::builtin(), bytes);
  (void)berth::apiserver::protobuf::decode_message(*berth::api::schema::builtin().find_kind("v1", "Pod")->type, bytes);
  return 0;
}
