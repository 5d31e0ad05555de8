#include "cli/cluster_access.h"

#include <cstdlib>

#include "base/files.h"
#include "base/json/json.h"
#include "base/text.h"
#include "base/yaml/yaml.h"
#include "host/cluster_dir.h"

namespace berth::cli {
namespace {

Result<Value> entry_of(const Value& config, const char* list, const char* kind, std::string_view name) {
  for (const Value& entry : config[list]) {
    if (entry["name"].as_string() == name) return entry[kind];
  }
  return error(Code::kInvalid, std::string(kind) + " " + quoted(name) + " does not exist");
}

// "certificate-authority-data" in base64, or the file named by "certificate-authority"; "" if there is neither.
Result<std::string> content_of(const Value& object, const std::string& field, const std::string& directory) {
  if (const Value& data = object[field + "-data"]; data.is_string()) return base64_decode(data.as_string());
  if (!object[field].is_string()) return std::string();
  const std::string path = object[field].str();
  return read_file(path.starts_with("/") ? path : directory + "/" + path);
}

Status read_server(const Value& cluster, http::Endpoint& endpoint) {
  const std::string server = cluster["server"].str();
  std::string_view rest = server;
  endpoint.tls = rest.starts_with("https://");
  if (!endpoint.tls && !rest.starts_with("http://"))
    return error(Code::kInvalid, "server " + quoted(server) + ": expected https://HOST:PORT");
  rest.remove_prefix(endpoint.tls ? 8 : 7);
  while (rest.ends_with('/')) rest.remove_suffix(1);
  if (rest.find('/') != std::string_view::npos)
    return error(Code::kInvalid, "server " + quoted(server) + ": a path is not supported");
  const std::size_t colon = rest.rfind(':');
  const bool has_port = colon != std::string_view::npos && rest.find(']', colon) == std::string_view::npos;
  endpoint.address = std::string(rest) + (has_port ? "" : endpoint.tls ? ":443" : ":80");
  std::string_view host = has_port ? rest.substr(0, colon) : rest;
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  endpoint.server_name = cluster["tls-server-name"].str(host);
  endpoint.insecure = cluster["insecure-skip-tls-verify"].as_bool();
  return ok_status();
}

Result<ClusterAccess> access_from_kubeconfig_file(const std::string& path) {
  Result<std::string> text = read_file(path);
  if (!text.ok()) return text.error();
  const std::size_t slash = path.rfind('/');
  Result<ClusterAccess> access =
      access_from_kubeconfig(*text, slash == std::string::npos ? "." : path.substr(0, slash));
  if (!access.ok()) return access.error().in(path);
  return access;
}

}  // namespace

Result<ClusterAccess> access_from_kubeconfig(const std::string& text, const std::string& directory) {
  BERTH_ASSIGN(Value config, yaml::parse(text));
  if (!config["current-context"].is_string()) return error(Code::kInvalid, "current-context is not set");
  BERTH_ASSIGN(Value context, entry_of(config, "contexts", "context", config["current-context"].as_string()));
  BERTH_ASSIGN(Value cluster, entry_of(config, "clusters", "cluster", context["cluster"].as_string()));
  ClusterAccess access;
  if (context["namespace"].is_string() && !context["namespace"].as_string().empty())
    access.ns = context["namespace"].str();
  BERTH_TRY(read_server(cluster, access.endpoint));
  BERTH_ASSIGN(access.endpoint.ca_pem, content_of(cluster, "certificate-authority", directory));
  if (!context["user"].is_string()) return access;
  BERTH_ASSIGN(Value user, entry_of(config, "users", "user", context["user"].as_string()));
  if (!user["exec"].is_null() || !user["auth-provider"].is_null()) {
    return error(Code::kUnimplemented, "user " + quoted(context["user"].as_string()) +
                                           ": credentials made by other programs are not supported");
  }
  BERTH_ASSIGN(access.endpoint.certificate_pem, content_of(user, "client-certificate", directory));
  BERTH_ASSIGN(access.endpoint.key_pem, content_of(user, "client-key", directory));
  access.token = user["token"].str();
  if (access.token.empty() && user["tokenFile"].is_string()) {
    BERTH_ASSIGN(std::string token, read_file(user["tokenFile"].str()));
    access.token = trim(token);
  }
  return access;
}

Result<ClusterAccess> open_access(const std::string& data_dir, bool named) {
  const char* variable = std::getenv("KUBECONFIG");
  if (!named && variable && *variable) {
    // The first existing file of the list.
    for (std::string_view path : split(variable, ':')) {
      if (!path.empty() && path_exists(std::string(path))) return access_from_kubeconfig_file(std::string(path));
    }
    return error(Code::kNotFound, "KUBECONFIG names no file that exists: " + std::string(variable));
  }
  BERTH_ASSIGN(host::ClusterDir dir, host::open_cluster_dir(data_dir));
  if (!path_exists(dir.api_socket())) {
    return error(Code::kUnavailable,
                 "no cluster is up in " + dir.root + "; start it with berth up --data-dir " + dir.root);
  }
  ClusterAccess access;
  if (Result<ClusterAccess> configured = access_from_kubeconfig_file(dir.kubeconfig()); configured.ok())
    access.ns = configured->ns;
  access.endpoint.address = "unix:" + dir.api_socket();
  return access;
}

}  // namespace berth::cli
