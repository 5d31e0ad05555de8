// No request body in protobuf may harm the server.
#include <cstdint>

#include "api/protobuf/protobuf.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  (void)berth::protobuf::decode(berth::schema::builtin(), bytes);
  (void)berth::protobuf::decode_message(*berth::schema::builtin().find_kind("v1", "Pod")->type, bytes);
  return 0;
}
