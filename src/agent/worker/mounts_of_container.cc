#include "agent/worker/mounts_of_container.h"

#include <sys/stat.h>

#include "base/files.h"
#include "base/text.h"

namespace berth::agent {
namespace {

std::string propagation_of(const Value& mount) {
  std::string_view kind = mount["mountPropagation"].as_string();
  return kind == "HostToContainer" ? "rslave" : kind == "Bidirectional" ? "rshared" : "";
}

// Kernel and crun of this node support it, so that IfPossible means Enabled.
bool read_only_below(const Value& mount) {
  std::string_view kind = mount["recursiveReadOnly"].as_string();
  return mount["readOnly"].as_bool() && (kind == "Enabled" || kind == "IfPossible");
}

bool mounts_at(const Value& container, std::string_view path) {
  for (const Value& mount : container["volumeMounts"]) {
    if (mount["mountPath"].as_string() == path) return true;
  }
  return false;
}

}  // namespace

Result<ContainerMounts> container_mounts(const PodContext& pod, const Value& container, const Variables& variables,
                                         const std::string& termination_file) {
  ContainerMounts result;
  std::vector<Mount>& out = result.mounts;
  std::size_t number = 0;
  for (const Value& mount : container["volumeMounts"]) {
    std::string name = mount["name"].str();
    auto volume = pod.volumes.find(name);
    if (volume == pod.volumes.end()) {
      return error(Code::kInvalid, "cannot find volume " + quoted(name) + " to mount into container " +
                                       quoted(container["name"].as_string()));
    }
    Mount entry;
    entry.source = volume->second.path;
    entry.target = mount["mountPath"].str();
    if (!entry.target.starts_with("/")) entry.target = "/" + entry.target;
    entry.read_only = mount["readOnly"].as_bool() || volume->second.read_only;
    entry.read_only_below = read_only_below(mount);
    entry.no_exec = volume->second.no_exec;
    entry.propagation = propagation_of(mount);
    std::string sub = mount["subPath"].str();
    if (!mount["subPathExpr"].as_string().empty()) sub = expand_variables(mount["subPathExpr"].as_string(), variables);
    if (!sub.empty()) {
      if (sub.starts_with("/"))
        return error(Code::kInvalid, "error SubPath `" + sub + "` must not be an absolute path");
      for (auto part : split(sub, '/')) {
        if (part == "..") return error(Code::kInvalid, "error SubPath `" + sub + "` must not contain '..'");
      }
      SubPath bound{pod.directory, volume->second.path, sub, name, container["name"].str(), number};
      entry.source = bound.mount_point();
      result.sub_paths.push_back(std::move(bound));
    }
    ++number;
    out.push_back(std::move(entry));
  }
  auto etc = [&](const char* target, const std::string& source) {
    if (!source.empty() && !mounts_at(container, target)) out.push_back(Mount{source, target, false, false, ""});
  };
  etc("/etc/hosts", pod.hosts_file);
  etc("/etc/resolv.conf", pod.resolv_file);
  etc("/etc/hostname", pod.hostname_file);
  std::string message = container["terminationMessagePath"].str("/dev/termination-log");
  if (!message.empty()) {
    BERTH_TRY(write_file(termination_file, "", 0666));
    ::chmod(termination_file.c_str(), 0666);
    out.push_back(Mount{termination_file, message, false, false, ""});
  }
  return result;
}

}  // namespace berth::agent
