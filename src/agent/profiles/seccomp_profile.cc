#include "agent/profiles/seccomp_profile.h"

#include <seccomp.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <memory>
#include <mutex>

#include "agent/profiles/default_profiles.h"
#include "base/files.h"
#include "base/json/json.h"
#include "base/text.h"

namespace berth::agent {
namespace {

struct Release {
  void operator()(void* filter) const { ::seccomp_release(filter); }
};
using Filter = std::unique_ptr<void, Release>;

void add_architectures(void* filter) {
#if defined(__x86_64__)
  (void)::seccomp_arch_add(filter, SCMP_ARCH_X86);
  (void)::seccomp_arch_add(filter, SCMP_ARCH_X32);
#elif defined(__aarch64__)
  (void)::seccomp_arch_add(filter, SCMP_ARCH_ARM);
#endif
}

Result<std::string> program_of(void* filter) {
  // A search tree instead of one comparison after the other: every system call of the container passes through it.
  (void)::seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
  Fd file(::memfd_create("seccomp", MFD_CLOEXEC));
  if (!file) return errno_error("memfd_create");
  if (int failed = ::seccomp_export_bpf(filter, file.get()); failed != 0)
    return errno_error("compiling a seccomp profile", -failed);
  BERTH_ASSIGN(std::string bytes, read_file("/proc/self/fd/" + std::to_string(file.get())));
  return base64_encode(bytes);
}

Result<std::uint32_t> action_of(std::string_view name, const Value& errno_value) {
  if (name == "SCMP_ACT_ALLOW") return SCMP_ACT_ALLOW;
  if (name == "SCMP_ACT_ERRNO") return SCMP_ACT_ERRNO(static_cast<std::uint32_t>(errno_value.as_int(EPERM)));
  if (name == "SCMP_ACT_KILL" || name == "SCMP_ACT_KILL_THREAD") return SCMP_ACT_KILL_THREAD;
  if (name == "SCMP_ACT_KILL_PROCESS") return SCMP_ACT_KILL_PROCESS;
  if (name == "SCMP_ACT_TRAP") return SCMP_ACT_TRAP;
  if (name == "SCMP_ACT_LOG") return SCMP_ACT_LOG;
  return error(Code::kInvalid, "seccomp action " + quoted(name) + " is not supported");
}

Result<scmp_compare> comparison_of(std::string_view name) {
  static const std::map<std::string_view, scmp_compare> table = {{"SCMP_CMP_NE", SCMP_CMP_NE},
                                                                 {"SCMP_CMP_LT", SCMP_CMP_LT},
                                                                 {"SCMP_CMP_LE", SCMP_CMP_LE},
                                                                 {"SCMP_CMP_EQ", SCMP_CMP_EQ},
                                                                 {"SCMP_CMP_GE", SCMP_CMP_GE},
                                                                 {"SCMP_CMP_GT", SCMP_CMP_GT},
                                                                 {"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ}};
  auto found = table.find(name);
  if (found == table.end()) return error(Code::kInvalid, "seccomp comparison " + quoted(name) + " is not supported");
  return found->second;
}

Status add_rule(void* filter, std::uint32_t default_action, const Value& rule) {
  BERTH_ASSIGN(std::uint32_t action, action_of(rule["action"].as_string(), rule["errnoRet"]));
  if (action == default_action) return {};
  std::vector<scmp_arg_cmp> arguments;
  for (const Value& argument : rule["args"]) {
    BERTH_ASSIGN(scmp_compare op, comparison_of(argument["op"].as_string()));
    auto value = static_cast<std::uint64_t>(argument["value"].as_int());
    auto value_two = static_cast<std::uint64_t>(argument["valueTwo"].as_int());
    arguments.push_back({static_cast<unsigned>(argument["index"].as_int()), op, value, value_two});
  }
  for (const Value& name : rule["names"]) {
    int number = ::seccomp_syscall_resolve_name(name.str().c_str());
    if (number == __NR_SCMP_ERROR) continue;
    int failed =
        ::seccomp_rule_add_array(filter, action, number, static_cast<unsigned>(arguments.size()), arguments.data());
    if (failed != 0 && failed != -EEXIST) return errno_error("seccomp rule for " + name.str(), -failed);
  }
  return {};
}

bool names_any(const Value& names, const std::vector<std::string>& capabilities) {
  return std::any_of(names.begin(), names.end(), [&](const Value& name) {
    return std::find(capabilities.begin(), capabilities.end(), name.as_string()) != capabilities.end();
  });
}

// Whether a rule of the default profile is for a container with these capabilities.
bool applies(const Value& rule, const std::vector<std::string>& capabilities) {
  const Value& included = rule["includes"]["caps"];
  return (included.is_null() || names_any(included, capabilities)) &&
         !names_any(rule["excludes"]["caps"], capabilities);
}

// `profile` in the form of the OCI specification's linux.seccomp.
Result<std::string> compile(const Value& profile, const Value& rules) {
  BERTH_ASSIGN(std::uint32_t action, action_of(profile["defaultAction"].as_string(), profile["defaultErrnoRet"]));
  Filter filter(::seccomp_init(action));
  if (!filter) return error(Code::kInternal, "seccomp_init failed");
  add_architectures(filter.get());
  for (const Value& rule : rules) BERTH_TRY(add_rule(filter.get(), action, rule));
  return program_of(filter.get());
}

}  // namespace

Result<std::string> default_seccomp_filter(const std::vector<std::string>& capabilities) {
  const Value& profile = default_profile("default_seccomp.json");
  Value rules = Value::array();
  std::string key;  // which rules apply; capabilities that the profile does not name make no program of their own
  for (const Value& rule : profile["syscalls"]) {
    const bool chosen = applies(rule, capabilities);
    key += chosen ? '1' : '0';
    if (chosen) rules.push(rule);
  }
  static std::mutex mutex;
  static std::map<std::string, std::string> known;
  std::lock_guard lock(mutex);
  if (auto found = known.find(key); found != known.end()) return found->second;
  BERTH_ASSIGN(std::string program, compile(profile, rules));
  known.emplace(key, program);
  return program;
}

Result<std::string> seccomp_filter_from_file(const std::string& path) {
  BERTH_ASSIGN(std::string text, read_file(path));
  auto profile = json::parse(text);
  if (!profile.ok()) return profile.error().in("seccomp profile " + path);
  auto program = compile(*profile, (*profile)["syscalls"]);
  if (!program.ok()) return program.error().in("seccomp profile " + path);
  return program;
}

}  // namespace berth::agent
