#include "agent/images/image_routes.h"

#include "agent/socket/answer_error.h"
#include "base/json/json.h"

namespace berth::agent {
namespace {

Value describe(const std::vector<std::shared_ptr<const Image>>& images) {
  Value out = Value::array();
  for (const auto& image : images) {
    Value tags = Value::array(), digests = Value::array();
    for (const std::string& tag : image->tags) tags.push(tag);
    for (const std::string& digest : image->digests) digests.push(digest);
    out.push(Value::object(
        {{"id", image->id}, {"tags", tags}, {"digests", digests}, {"size", static_cast<long>(image->size_bytes)}}));
  }
  return Value::object({{"images", out}});
}

}  // namespace

bool ImageRoutes::handle(const std::shared_ptr<http::Exchange>& exchange) {
  const http::Request& request = exchange->request();
  if (request.path != "/berth/images") return false;
  std::string reference(request.parameter("reference"));
  if (request.method == "GET") {
    exchange->respond(200, "application/json", json::encode(describe(images_.list())));
  } else if (request.method == "POST") {
    images_.import(std::string(request.parameter("path")), reference, [exchange](auto images) {
      if (!images.ok()) return answer_error(*exchange, images.error());
      exchange->respond(200, "application/json", json::encode(describe(*images)));
    });
  } else if (request.method == "DELETE") {
    images_.remove(reference, [exchange](Status status) {
      if (!status.ok()) return answer_error(*exchange, status.error());
      exchange->respond(200, "application/json", "{}");
    });
  } else {
    answer_error(*exchange, error(Code::kMethodNotAllowed, request.method + " is not served here"));
  }
  return true;
}

}  // namespace berth::agent
