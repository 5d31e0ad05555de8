// `berth image ...`: sends requests to the agent's socket; building needs no cluster.
#include <unistd.h>

#include <cstdio>

#include "agent/images/image_store.h"
#include "base/files.h"
#include "base/loop.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/console.h"
#include "host/cluster_dir.h"
#include "http/client.h"

namespace berth::cli {
namespace {

Result<Value> request_agent(const std::string& data_dir, std::string method, std::string target) {
  BERTH_ASSIGN(host::ClusterDir dir, host::open_cluster_dir(data_dir));
  if (!path_exists(dir.agent_socket())) {
    return error(Code::kUnavailable,
                 "no node agent runs for " + dir.root + "; start it with berth up --data-dir " + dir.root);
  }
  Loop loop(1);
  http::Endpoint endpoint;
  endpoint.address = "unix:" + dir.agent_socket();
  auto client = http::make_client(loop, endpoint);
  http::ClientRequest request;
  request.method = std::move(method);
  request.target = std::move(target);
  Result<Value> answer = error(Code::kInternal, "no answer");
  client->send(std::move(request), [&](Result<http::Response> response) {
    if (!response.ok()) {
      answer = response.error();
    } else {
      Result<Value> body = json::parse(response->body);
      bool good = response->status == 200 && body.ok();
      answer = good ? body
                    : Result<Value>(
                          error(Code::kInternal, body.ok() ? (*body)["message"].str(response->body) : response->body));
    }
    loop.stop();
  });
  loop.run();
  return answer;
}

std::string human_size(double bytes) {
  const char* units[] = {"B", "KB", "MB", "GB"};
  int unit = 0;
  while (bytes >= 1000 && unit < 3) {
    bytes /= 1000;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof text, unit == 0 ? "%.0f %s" : "%.1f %s", bytes, units[unit]);
  return text;
}

void print_images(const Value& images) {
  std::printf("%-56s %-14s %10s\n", "REFERENCE", "IMAGE ID", "SIZE");
  for (const Value& image : images) {
    std::string id = image["id"].str();
    if (std::size_t colon = id.find(':'); colon != std::string::npos) id = id.substr(colon + 1, 12);
    std::string size = human_size(image["size"].as_double(static_cast<double>(image["size"].as_int())));
    if (image["tags"].empty()) std::printf("%-56s %-14s %10s\n", "<none>", id.c_str(), size.c_str());
    for (const Value& tag : image["tags"])
      std::printf("%-56s %-14s %10s\n", tag.str().c_str(), id.c_str(), size.c_str());
  }
}

std::vector<std::string> words(const std::string& text) {
  std::vector<std::string> out;
  for (std::string_view part : split(text, ' ')) {
    for (std::string_view word : split(part, ',')) {
      if (!trim(word).empty()) out.emplace_back(trim(word));
    }
  }
  return out;
}

// Parses a command: a JSON array, or words separated by spaces.
Result<std::vector<std::string>> command_words(const std::string& text) {
  std::vector<std::string> out;
  if (trim(text).starts_with("[")) {
    BERTH_ASSIGN(Value list, json::parse(text));
    for (const Value& word : list) out.push_back(word.str());
    return out;
  }
  for (std::string_view word : split(text, ' ')) {
    if (!word.empty()) out.emplace_back(word);
  }
  return out;
}

}  // namespace

int image_import(const std::string& data_dir, const std::string& file, const std::string& reference) {
  char* absolute = ::realpath(file.c_str(), nullptr);
  if (absolute == nullptr) return fail(error(Code::kNotFound, file + ": no such file"));
  std::string path = absolute;
  ::free(absolute);
  std::string target = "/berth/images?path=" + url_encode(path);
  if (!reference.empty()) target += "&reference=" + url_encode(reference);
  Result<Value> answer = request_agent(data_dir, "POST", target);
  if (!answer.ok()) return fail(answer.error().in("importing " + file));
  print_images((*answer)["images"]);
  return 0;
}

int image_list(const std::string& data_dir, bool as_json) {
  Result<Value> answer = request_agent(data_dir, "GET", "/berth/images");
  if (!answer.ok()) return fail(answer.error());
  if (as_json) {
    print_line(json::encode_pretty((*answer)["images"]));
  } else {
    print_images((*answer)["images"]);
  }
  return 0;
}

int image_remove(const std::string& data_dir, const std::string& reference) {
  Result<Value> answer = request_agent(data_dir, "DELETE", "/berth/images?reference=" + url_encode(reference));
  if (!answer.ok()) return fail(answer.error());
  print_line("removed " + reference);
  return 0;
}

int image_build(const ImageBuildOptions& options) {
  agent::BuildOptions build;
  build.reference = options.reference;
  build.packages = words(options.packages);
  Result<std::vector<std::string>> entrypoint = command_words(options.entrypoint),
                                   command = command_words(options.command);
  if (!entrypoint.ok()) return fail(entrypoint.error().in("--entrypoint"));
  if (!command.ok()) return fail(command.error().in("--cmd"));
  build.entrypoint = *entrypoint;
  build.command = *command;
  build.environment = options.environment;
  build.working_directory = options.working_directory;
  build.user = options.user;
  build.run = options.run;
  build.suite = options.suite;
  for (const std::string& file : options.files) {
    Cut parts = cut(file, ":");
    if (!parts.found) return fail(error(Code::kInvalid, "--file " + file + ": expected SOURCE:PATH-IN-IMAGE"));
    build.files.emplace_back(parts.before, parts.after);
  }
  Result<host::ClusterDir> dir = host::open_cluster_dir(options.data_dir);
  if (!dir.ok()) return fail(dir.error());
  std::string cache = options.cache.empty() ? "/var/cache/berth" : options.cache;
  std::string output =
      options.output.empty() ? cache + "/build-" + std::to_string(::getpid()) + ".tar" : options.output;
  if (Status made = make_directories(cache); !made.ok()) return fail(made.error());
  ProgressStep step("build " + options.reference);
  Status built =
      agent::build_image(build, cache, output, [](std::string_view line) { print_line("    " + std::string(line)); });
  if (!built.ok()) return fail(built.error());
  step.done();
  if (!options.output.empty()) return 0;
  int code = image_import(options.data_dir, output, options.reference);
  ::unlink(output.c_str());
  return code;
}

}  // namespace berth::cli
