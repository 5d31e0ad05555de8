#include "agent/spec/security.h"

#include <sys/capability.h>

#include <algorithm>
#include <cctype>
#include <set>

#include "agent/images/layer_view.h"
#include "agent/pod/pod_admission.h"
#include "agent/runtime/oci_spec.h"
#include "base/files.h"
#include "base/text.h"

namespace berth::agent {
namespace {

const std::string kSeccompProfiles = "/var/lib/kubelet/seccomp/";  // kubelet's default
constexpr std::size_t kLongestUserFile = 1 << 20;

struct PasswdEntry {
  std::int64_t uid = 0, gid = 0;
  std::string name;
};

std::optional<PasswdEntry> user_of(const std::string& passwd, std::string_view user) {
  auto number = parse_int(user);
  for (auto line : split(passwd, '\n')) {
    auto fields = split(line, ':');
    if (fields.size() < 4) continue;
    auto uid = parse_int(fields[2]), gid = parse_int(fields[3]);
    if (!uid.ok() || !gid.ok()) continue;
    if (fields[0] == user || (number.ok() && *number == *uid)) return PasswdEntry{*uid, *gid, std::string(fields[0])};
  }
  return std::nullopt;
}

std::optional<std::int64_t> group_of(const std::string& group, std::string_view name) {
  if (auto number = parse_int(name); number.ok()) return *number;
  for (auto line : split(group, '\n')) {
    auto fields = split(line, ':');
    if (fields.size() < 3 || fields[0] != name) continue;
    auto gid = parse_int(fields[2]);
    if (gid.ok()) return *gid;
  }
  return std::nullopt;
}

std::vector<std::int64_t> memberships(const std::string& group, const std::string& user) {
  std::vector<std::int64_t> out;
  for (auto line : split(group, '\n')) {
    auto fields = split(line, ':');
    if (fields.size() < 4) continue;
    auto members = split(fields[3], ',');
    auto gid = parse_int(fields[2]);
    if (gid.ok() && std::find(members.begin(), members.end(), user) != members.end()) out.push_back(*gid);
  }
  return out;
}

std::string upper_capability(std::string_view name) {
  std::string out;
  for (char c : name) out += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return out.starts_with("CAP_") || out == "ALL" ? out : "CAP_" + out;
}

bool is_capability(std::string_view upper) {
  if (upper == "ALL") return true;
  cap_value_t value = 0;
  return ::cap_from_name(lower(upper).c_str(), &value) == 0;
}

// The container's setting, otherwise the pod's.
const Value& setting(const Value& pod, const Value& container, const char* name) {
  const Value& own = container["securityContext"][name];
  return own.is_null() ? pod["spec"]["securityContext"][name] : own;
}

Status check_non_root(const Value& pod, const Value& container, const std::string& image_user,
                      const std::string& where) {
  if (!setting(pod, container, "runAsNonRoot").as_bool()) return {};
  std::string place = " (pod: " + quoted(where) + ", container: " + container["name"].str() + ")";
  const Value& user = setting(pod, container, "runAsUser");
  if (user.is_int()) {
    if (user.as_int() == 0) return error(Code::kInvalid, "container's runAsUser breaks non-root policy" + place);
    return {};
  }
  std::string name(cut(image_user, ":").before);
  if (name.empty()) return error(Code::kInvalid, "container has runAsNonRoot and image will run as root" + place);
  auto number = parse_int(name);
  if (!number.ok())
    return error(Code::kInvalid, "container has runAsNonRoot and image has non-numeric user (" + name +
                                     "), cannot verify user is non-root" + place);
  if (*number == 0) return error(Code::kInvalid, "container has runAsNonRoot and image will run as root" + place);
  return {};
}

}  // namespace

Result<ImageUsers> read_image_users(const std::vector<std::string>& layers) {
  ImageUsers users;
  BERTH_ASSIGN(users.passwd, image_file(layers, "etc/passwd", kLongestUserFile));
  BERTH_ASSIGN(users.group, image_file(layers, "etc/group", kLongestUserFile));
  return users;
}

bool needs_image_users(const Value& pod, const Value& container, const Value& image) {
  std::string image_user = image["User"].str();
  const Value& run_as = setting(pod, container, "runAsUser");
  if (run_as.is_int()) return run_as.as_int() != 0;
  return !image_user.empty() && image_user != "0" && image_user != "0:0";
}

Result<std::vector<std::string>> resolve_capabilities(const Value& capabilities) {
  for (const char* list : {"add", "drop"}) {
    for (const Value& name : capabilities[list]) {
      if (!is_capability(upper_capability(name.as_string())))
        return error(Code::kInternal, "unknown capability " + quoted(name.as_string()) + " to " + list);
    }
  }
  std::set<std::string> held(default_capabilities().begin(), default_capabilities().end());
  auto all = all_capabilities();
  bool drop_all = false;
  for (const Value& name : capabilities["drop"]) drop_all = drop_all || upper_capability(name.as_string()) == "ALL";
  if (drop_all) held.clear();
  for (const Value& name : capabilities["add"]) {
    std::string one = upper_capability(name.as_string());
    if (one == "ALL") {
      held.insert(all.begin(), all.end());
    } else {
      held.insert(one);
    }
  }
  for (const Value& name : capabilities["drop"]) held.erase(upper_capability(name.as_string()));
  // A capability outside this process's bounding set cannot be granted.
  std::vector<std::string> out;
  for (const auto& one : held) {
    if (std::find(all.begin(), all.end(), one) != all.end()) out.push_back(one);
  }
  return out;
}

Status resolve_security(const Value& pod, const Value& container, const Value& image, const ImageUsers& users,
                        const std::string& where, ContainerSpec& spec) {
  std::string image_user = image["User"].str();
  BERTH_TRY(check_non_root(pod, container, image_user, where));
  const Value& pod_security = pod["spec"]["securityContext"];
  const Value& own = container["securityContext"];
  const Value& run_as = setting(pod, container, "runAsUser");
  std::string user = run_as.is_int() ? std::to_string(run_as.as_int()) : std::string(cut(image_user, ":").before);
  const std::string& group = users.group;
  auto entry = user.empty() || user == "0" ? std::nullopt : user_of(users.passwd, user);
  auto number = parse_int(user);
  if (!user.empty() && !number.ok() && !entry) {
    return error(Code::kInvalid, "unable to find user " + user + ": no matching entries in passwd file");
  }
  spec.uid = entry ? entry->uid : number.ok() ? *number : 0;
  spec.gid = entry ? entry->gid : 0;
  if (Cut parts = cut(image_user, ":"); parts.found && !run_as.is_int()) {
    auto gid = group_of(group, parts.after);
    if (!gid)
      return error(Code::kInvalid,
                   "unable to find group " + std::string(parts.after) + ": no matching entries in group file");
    spec.gid = *gid;
  }
  if (const Value& run_group = setting(pod, container, "runAsGroup"); run_group.is_int()) spec.gid = run_group.as_int();
  std::set<std::int64_t> groups;
  if (entry && pod_security["supplementalGroupsPolicy"].as_string() != "Strict") {
    for (auto gid : memberships(group, entry->name)) groups.insert(gid);
  }
  for (const Value& gid : pod_security["supplementalGroups"]) groups.insert(gid.as_int());
  if (pod_security["fsGroup"].is_int()) groups.insert(pod_security["fsGroup"].as_int());
  groups.erase(spec.gid);
  spec.groups.assign(groups.begin(), groups.end());
  spec.privileged = own["privileged"].as_bool();
  spec.read_only_rootfs = own["readOnlyRootFilesystem"].as_bool();
  spec.no_new_privileges = own["allowPrivilegeEscalation"].is_bool() && !own["allowPrivilegeEscalation"].as_bool();
  BERTH_ASSIGN(spec.capabilities, resolve_capabilities(own["capabilities"]));
  const Value& profile = setting(pod, container, "seccompProfile");
  std::string_view type = profile["type"].as_string("Unconfined");
  spec.seccomp = type == "Localhost" ? kSeccompProfiles + profile["localhostProfile"].str() : std::string(type);
  if (type == "Localhost" && !spec.privileged && !path_exists(spec.seccomp))
    return error(Code::kInternal, "cannot load seccomp profile " + quoted(spec.seccomp) + ": open " + spec.seccomp +
                                      ": no such file or directory");
  spec.apparmor = spec.privileged ? "" : apparmor_profile(pod, container);
  spec.selinux_label = spec.privileged ? "" : selinux_label(pod, container);
  spec.unmasked_proc = own["procMount"].as_string() == "Unmasked";
  return {};
}

}  // namespace berth::agent
