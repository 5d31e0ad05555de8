#pragma once
// Kubernetes' protobuf form of an object: the bytes "k8s\0" and a runtime.Unknown that wraps the object's own message.
// Newer kubectl sends request bodies this way, and Go's typed clients ask for answers so. Field numbers come from the
// schema; pure, any thread.

#include <string>
#include <string_view>

#include "api/schema/schema.h"
#include "base/json/json.h"
#include "base/result.h"

namespace berth::apiserver::protobuf {

inline constexpr std::string_view kMediaType = "application/vnd.kubernetes.protobuf";

// The object as JSON, with apiVersion and kind. Field numbers that the schema does not know are skipped, as any
// protobuf reader does. kBadRequest: no such envelope, a kind we do not have, or damaged bytes (the text says where).
Result<Value> decode(const api::schema::Schema& schema, std::string_view bytes);

// One message of a type.
Result<Value> decode_message(const api::schema::Type& type, std::string_view bytes);

// The envelope of an object with apiVersion and kind. kNotAcceptable: its kind has no protobuf form.
Result<std::string> encode(const api::schema::Schema& schema, const Value& object);
std::string encode_message(const api::schema::Type& type, const Value& value);
bool can_encode(const api::schema::Type& type);

// The envelope of a list in parts: the head, then for each item encode_item_head() and its message, then kEnvelopeEnd.
// `list` is the list without its items, `items_bytes` the size of all items with their heads. kNotAcceptable as above.
Result<std::string> encode_list_head(const api::schema::Schema& schema, const Value& list, std::size_t items_bytes);
std::string encode_item_head(std::size_t message_bytes);
inline constexpr std::string_view kEnvelopeEnd = std::string_view("\x1a\x00\x22\x00", 4);
// The object's own message in an envelope that encode() made.
std::string_view message_in(std::string_view envelope);

// The beginning of one event of a watch, up to the object (its envelope, of so many bytes): a length in four bytes, and
// a WatchEvent.
std::string encode_event_head(std::string_view type, std::size_t object_bytes);

}  // namespace berth::apiserver::protobuf
