#include "agent/spec/environment.h"

#include <algorithm>
#include <cctype>

#include "agent/pod/object_cache.h"
#include "agent/spec/downward.h"
#include "agent/spec/env_files.h"
#include "api/object.h"
#include "base/text.h"

namespace berth::agent {
namespace {

constexpr std::string_view kPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

struct Referred {
  const Value* object = nullptr;  // null where it is missing and optional
};

// The object of a reference; an error with kubelet's text where it is missing and not optional.
Result<Referred> referred(const PodContext& pod, const api::Resource& resource, const Value& reference) {
  bool secret = resource == api::resources::kSecrets;
  api::Name name{std::string(api::namespace_of(pod.pod)), reference["name"].str()};
  if (!pod.services.objects.known(resource, name)) return error(Code::kUnavailable, "waiting for " + name.to_string());
  const Value& object = pod.services.objects.get(resource, name);
  if (!object.is_null()) return Referred{&object};
  if (reference["optional"].as_bool()) return Referred{};
  return error(Code::kNotFound, (secret ? "secret " : "configmap ") + quoted(name.name) + " not found");
}

Result<std::string> value_in(const Value& object, std::string_view key, bool secret) {
  if (!secret) return object["data"][key].str();
  return base64_decode(object["data"][key].as_string());
}

// From env_files of the context: the worker has read the files before.
Result<std::optional<std::string>> value_of_file(const PodContext& pod, const Value& reference) {
  EnvFile file{reference["volumeName"].str(), reference["path"].str()};
  std::string key = reference["key"].str();
  bool optional = reference["optional"].as_bool();
  auto read = pod.env_files.find(file.key());
  if (read == pod.env_files.end() || !read->second.ok()) {
    if (optional) return std::optional<std::string>();
    std::string why = read == pod.env_files.end() ? "it has not been read" : read->second.error().message;
    return error(Code::kNotFound,
                 "couldn't parse env file " + quoted(file.path) + " of volume " + quoted(file.volume) + ": " + why);
  }
  BERTH_ASSIGN(auto value, env_file_value(*read->second, key));
  if (!value && !optional)
    return error(Code::kNotFound,
                 "environment variable key " + quoted(key) + " not found in file " + quoted(file.path));
  return value;
}

Result<std::optional<std::string>> value_from(const PodContext& pod, const Value& container, const Value& from) {
  if (!from["fieldRef"].is_null()) {
    BERTH_ASSIGN(std::string text, field_value(pod, from["fieldRef"]["fieldPath"].str()));
    return std::optional<std::string>(std::move(text));
  }
  if (!from["resourceFieldRef"].is_null()) {
    BERTH_ASSIGN(std::string text, resource_value(pod, from["resourceFieldRef"], container["name"].str()));
    return std::optional<std::string>(std::move(text));
  }
  if (!from["fileKeyRef"].is_null()) return value_of_file(pod, from["fileKeyRef"]);
  bool secret = !from["secretKeyRef"].is_null();
  const Value& reference = from[secret ? "secretKeyRef" : "configMapKeyRef"];
  BERTH_ASSIGN(Referred found,
               referred(pod, secret ? api::resources::kSecrets : api::resources::kConfigMaps, reference));
  if (!found.object) return std::optional<std::string>();
  std::string key = reference["key"].str();
  if (!(*found.object)["data"].contains(key)) {
    if (reference["optional"].as_bool()) return std::optional<std::string>();
    return error(Code::kNotFound, "couldn't find key " + key + " in " + (secret ? "Secret " : "ConfigMap ") +
                                      std::string(api::namespace_of(pod.pod)) + "/" + reference["name"].str());
  }
  BERTH_ASSIGN(std::string text, value_in(*found.object, key, secret));
  return std::optional<std::string>(std::move(text));
}

std::string variable_name(std::string_view service) {
  std::string out;
  for (char c : service) out += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return out;
}

void add_links(const Value& service, Variables& out) {
  std::string ip = service["spec"]["clusterIP"].str();
  std::string name = variable_name(api::name_of(service));
  out[name + "_SERVICE_HOST"] = ip;
  bool first = true;
  for (const Value& port : service["spec"]["ports"]) {
    std::string number = std::to_string(port["port"].as_int());
    std::string protocol = lower(port["protocol"].as_string("TCP"));
    if (first) out[name + "_SERVICE_PORT"] = number;
    if (!port["name"].as_string().empty())
      out[name + "_SERVICE_PORT_" + variable_name(port["name"].as_string())] = number;
    std::string url = protocol + "://" + (ip.find(':') == std::string::npos ? ip : "[" + ip + "]") + ":" + number;
    if (first) out[name + "_PORT"] = url;
    std::string prefix = name + "_PORT_" + number + "_" + variable_name(protocol);
    out[prefix] = url;
    out[prefix + "_PROTO"] = protocol;
    out[prefix + "_PORT"] = number;
    out[prefix + "_ADDR"] = ip;
    first = false;
  }
}

}  // namespace

std::string expand_variables(std::string_view text, const Variables& first, const Variables& second) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '$' || i + 1 >= text.size()) {
      out += text[i];
      continue;
    }
    if (text[i + 1] == '$') {
      out += '$';
      ++i;
      continue;
    }
    auto end = text[i + 1] == '(' ? text.find(')', i + 2) : std::string_view::npos;
    if (end == std::string_view::npos) {
      out += '$';
      continue;
    }
    std::string name(text.substr(i + 2, end - i - 2));
    if (auto found = first.find(name); found != first.end()) {
      out += found->second;
    } else if (auto other = second.find(name); other != second.end()) {
      out += other->second;
    } else {
      out += text.substr(i, end - i + 1);
    }
    i = end;
  }
  return out;
}

Variables service_variables(const std::vector<Value>& services, const std::string& ns, bool links) {
  Variables out;
  for (const Value& service : services) {
    std::string_view ip = service["spec"]["clusterIP"].as_string();
    if (ip.empty() || ip == "None") continue;
    bool master = api::namespace_of(service) == "default" && api::name_of(service) == "kubernetes";
    if (master || (links && api::namespace_of(service) == ns)) add_links(service, out);
  }
  return out;
}

Result<Variables> container_variables(const PodContext& pod, const Value& container,
                                      const std::vector<Value>& services) {
  Variables own;
  for (const Value& from : container["envFrom"]) {
    bool secret = !from["secretRef"].is_null();
    const Value& reference = from[secret ? "secretRef" : "configMapRef"];
    BERTH_ASSIGN(Referred found,
                 referred(pod, secret ? api::resources::kSecrets : api::resources::kConfigMaps, reference));
    if (!found.object) continue;
    for (auto [key, value] : (*found.object)["data"].entries()) {
      BERTH_ASSIGN(std::string text, value_in(*found.object, key, secret));
      own[from["prefix"].str() + std::string(key)] = std::move(text);
    }
  }
  bool links = pod.pod["spec"]["enableServiceLinks"].as_bool(true);
  Variables of_services = service_variables(services, std::string(api::namespace_of(pod.pod)), links);
  for (const Value& variable : container["env"]) {
    std::string name = variable["name"].str();
    if (const Value& from = variable["valueFrom"]; !from.is_null()) {
      BERTH_ASSIGN(auto text, value_from(pod, container, from));
      if (text) own[name] = std::move(*text);
    } else {
      own[name] = expand_variables(variable["value"].as_string(), own, of_services);
    }
  }
  for (auto& [name, value] : of_services) own.try_emplace(name, value);
  return own;
}

CommandLine command_line(const Value& container, const Value& image, const Variables& variables,
                         const std::string& hostname) {
  CommandLine out;
  auto add = [&](const Value& words, bool expand) {
    for (const Value& word : words)
      out.args.push_back(expand ? expand_variables(word.as_string(), variables) : word.str());
  };
  bool command = !container["command"].empty(), args = !container["args"].empty();
  if (command) {
    add(container["command"], true);
  } else {
    add(image["Entrypoint"], false);
  }
  if (args) {
    add(container["args"], true);
  } else if (!command) {
    add(image["Cmd"], false);
  }
  out.working_directory = container["workingDir"].str(image["WorkingDir"].as_string());
  if (out.working_directory.empty()) out.working_directory = "/";
  bool path = false;
  for (const Value& line : image["Env"]) {
    std::string name(cut(line.as_string(), "=").before);
    if (variables.contains(name) || name == "HOSTNAME") continue;
    path = path || name == "PATH";
    out.env.push_back(line.str());
  }
  if (!path && !variables.contains("PATH")) out.env.insert(out.env.begin(), std::string(kPath));
  if (!variables.contains("HOSTNAME")) out.env.push_back("HOSTNAME=" + hostname);
  for (const auto& [name, value] : variables) out.env.push_back(name + "=" + value);
  return out;
}

}  // namespace berth::agent
