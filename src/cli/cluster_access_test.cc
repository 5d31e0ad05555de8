#include "cli/cluster_access.h"

#include <gtest/gtest.h>

#include "base/text.h"

namespace berth::cli {
namespace {

const char* kConfig = R"(
apiVersion: v1
kind: Config
current-context: two
contexts:
- name: one
  context: {cluster: far, user: nobody}
- name: two
  context: {cluster: near, user: me, namespace: shop}
clusters:
- name: far
  cluster: {server: "https://far.example"}
- name: near
  cluster: {server: "https://127.0.0.1:6443/", certificate-authority-data: Y2E=}
users:
- name: me
  user: {client-certificate-data: Y2VydA==, client-key-data: a2V5, token: secret}
- name: nobody
  user: {}
)";

ClusterAccess access_of(const std::string& text) {
  Result<ClusterAccess> access = access_from_kubeconfig(text, "/nowhere");
  EXPECT_TRUE(access.ok()) << (access.ok() ? "" : access.error().message);
  return access.ok() ? *access : ClusterAccess();
}
std::string refusal_of(const std::string& text) {
  Result<ClusterAccess> access = access_from_kubeconfig(text, "/nowhere");
  return access.ok() ? "accepted" : access.error().message;
}

TEST(ClusterAccess, ReadsTheCurrentContext) {
  const ClusterAccess access = access_of(kConfig);
  EXPECT_EQ(access.endpoint.address, "127.0.0.1:6443");
  EXPECT_TRUE(access.endpoint.tls);
  EXPECT_EQ(access.endpoint.server_name, "127.0.0.1");
  EXPECT_EQ(access.endpoint.ca_pem, "ca");
  EXPECT_EQ(access.endpoint.certificate_pem, "cert");
  EXPECT_EQ(access.endpoint.key_pem, "key");
  EXPECT_EQ(access.token, "secret");
  EXPECT_EQ(access.ns, "shop");
}

TEST(ClusterAccess, FillsInWhatIsNotSaid) {
  const ClusterAccess access = access_of(replace_all(kConfig, "current-context: two", "current-context: one"));
  EXPECT_EQ(access.endpoint.address, "far.example:443");
  EXPECT_EQ(access.endpoint.server_name, "far.example");
  EXPECT_EQ(access.ns, "default");
  EXPECT_EQ(access_of(replace_all(kConfig, "https://127.0.0.1:6443/", "http://[::1]:80")).endpoint.address, "[::1]:80");
  EXPECT_EQ(access_of(replace_all(kConfig, "https://127.0.0.1:6443/", "https://[::1]")).endpoint.address, "[::1]:443");
}

TEST(ClusterAccess, SaysWhatItCannotRead) {
  EXPECT_EQ(refusal_of("{}"), "current-context is not set");
  EXPECT_EQ(refusal_of(replace_all(kConfig, "current-context: two", "current-context: three")),
            "context \"three\" does not exist");
  EXPECT_EQ(refusal_of(replace_all(kConfig, "cluster: near,", "cluster: lost,")), "cluster \"lost\" does not exist");
  EXPECT_EQ(refusal_of(replace_all(kConfig, "https://127.0.0.1:6443/", "https://127.0.0.1:6443/k8s")),
            "server \"https://127.0.0.1:6443/k8s\": a path is not supported");
  EXPECT_NE(refusal_of(replace_all(kConfig, "token: secret", "exec: {command: x}")).find("not supported"),
            std::string::npos);
}

}  // namespace
}  // namespace berth::cli
