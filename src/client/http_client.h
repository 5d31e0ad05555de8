#pragma once
// A client::Client over HTTP to an API server, for the agent and the command line.

#include <memory>
#include <string>

#include "base/loop.h"
#include "client/client.h"
#include "http/client.h"

namespace berth::client {

// `user_agent` names the caller ("berth-agent"). `token`: a bearer token, may be empty.
std::unique_ptr<Client> make_http_client(Loop& loop, http::Endpoint endpoint, std::string user_agent,
                                         std::string token = {});

// "/api/v1/namespaces/ns/pods/name/status" and so on; empty parts are left out.
std::string resource_path(const Resource& resource, std::string_view ns, std::string_view name,
                          std::string_view subresource);

}  // namespace berth::client
