#include "agent/runtime/sysctls.h"

#include <gtest/gtest.h>

namespace berth::agent {
namespace {

std::string refusal(std::string_view name, const std::vector<std::string>& allowed = {}, bool host_network = false,
                    bool host_ipc = false) {
  Status may = check_sysctl(name, allowed, host_network, host_ipc);
  return may.ok() ? "" : may.error().message;
}

TEST(Sysctls, SafeOnesAreFreeAndOthersAreNot) {
  for (const char* safe : {"net.ipv4.ip_unprivileged_port_start", "net/ipv4/tcp_rmem", "kernel.shm_rmid_forced",
                           "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_fin_timeout"}) {
    EXPECT_EQ(refusal(safe), "") << safe;
  }
  EXPECT_EQ(refusal("kernel.msgmax"), "\"kernel.msgmax\" not allowlisted");
  EXPECT_EQ(refusal("kernel.msgmax", {"kernel.msg*"}), "");
  EXPECT_EQ(refusal("kernel.msgmax", {"kernel.msgmax"}, false, true),
            "\"kernel.msgmax\" not allowed with host ipc enabled");
  EXPECT_EQ(refusal("net.ipv4.tcp_syncookies", {}, true),
            "\"net.ipv4.tcp_syncookies\" not allowed with host net enabled");
  EXPECT_EQ(refusal("net.core.somaxconn", {"net.core.*"}), "");
}

TEST(Sysctls, TheMachinesAreNeverAPodsWhateverIsAllowed) {
  for (const char* of_machine : {"vm.max_map_count", "kernel.core_pattern", "fs.file-max",
                                 "kernel.printk_ratelimit_burst", "kernel.domainname", "user.max_user_namespaces"}) {
    EXPECT_NE(refusal(of_machine, {of_machine, "*"}), "") << of_machine;
  }
  for (const char* crooked : {"net.ipv4.../../kernel.core_pattern", "net..ipv4.x", "net.ipv4.X", "net.", ".net.x", "",
                              "net.ipv4.a b", "kernel.shm.../../x", "net/../kernel/x"}) {
    EXPECT_NE(refusal(crooked, {crooked, "net.*", "kernel.shm*"}), "") << crooked;
  }
}

TEST(Sysctls, NamesBecomePaths) {
  EXPECT_EQ(*sysctl_path(sysctl_with_dots("net/ipv4/conf/eth0.1/rp_filter")),
            "/proc/sys/net/ipv4/conf/eth0.1/rp_filter");
  EXPECT_EQ(*sysctl_path(sysctl_with_dots("net.ipv4.conf.eth0/1.rp_filter")),
            "/proc/sys/net/ipv4/conf/eth0.1/rp_filter");
  EXPECT_EQ(*sysctl_path("kernel.shm_rmid_forced"), "/proc/sys/kernel/shm_rmid_forced");
  EXPECT_FALSE(sysctl_path("net.ipv4.conf./...x").ok());
}

TEST(Sysctls, PatternsAreOfNamespacedNames) {
  for (const char* good : {"kernel.msg*", "net.core.somaxconn", "net.*", "net/ipv4/*"})
    EXPECT_TRUE(check_sysctl_pattern(good).ok()) << good;
  EXPECT_EQ(check_sysctl_pattern("vm.*").error().message, "the sysctls \"vm.*\" are not known to be namespaced");
  for (const char* bad : {"*", "kernel*", "net", "", "Net.x", "net.x.**"})
    EXPECT_FALSE(check_sysctl_pattern(bad).ok()) << bad;
}

}  // namespace
}  // namespace berth::agent
