#include "agent/socket/answer_error.h"

#include "api/status.h"

namespace berth::agent {

void answer_error(http::Exchange& exchange, const Error& error) {
  exchange.respond(api::http_code(error.code), "application/json", json::encode(api::to_status(error)));
}

}  // namespace berth::agent
