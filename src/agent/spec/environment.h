#pragma once
// The environment, command and arguments of a container. Pure, but for reads of the ObjectCache.

#include <map>
#include <string>
#include <vector>

#include "agent/pod/pod_hook.h"
#include "base/json/json.h"
#include "base/result.h"

namespace berth::agent {

using Variables = std::map<std::string, std::string>;

// Replaces $(NAME) by its value and $$ by $; unknown names stay as they are.
std::string expand_variables(std::string_view text, const Variables& first, const Variables& second = {});

// Service links: WEB_SERVICE_HOST and so on, of the services of the pod's namespace and of "kubernetes" in "default".
Variables service_variables(const std::vector<Value>& services, const std::string& ns, bool links);

// The container's variables: envFrom, env, service links. Errors have kubelet's texts for CreateContainerConfigError;
// kUnavailable where the ObjectCache does not know an object yet.
Result<Variables> container_variables(const PodContext& pod, const Value& container,
                                      const std::vector<Value>& services);

struct CommandLine {
  std::vector<std::string> args;
  std::vector<std::string> env;
  std::string working_directory;
};
// From the container's spec and the image's configuration.
CommandLine command_line(const Value& container, const Value& image_config, const Variables& variables,
                         const std::string& hostname);

}  // namespace berth::agent
