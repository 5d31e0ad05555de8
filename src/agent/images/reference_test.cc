#include <gtest/gtest.h>

#include "agent/images/image_store.h"

namespace berth::agent {
namespace {

const std::string kDigest = "sha256:" + std::string(64, 'a');

TEST(ReferenceTest, ShortNamesAreCompleted) {
  const std::pair<std::string, std::string> cases[] = {
      {"nginx", "docker.io/library/nginx:latest"},
      {"nginx:1.25", "docker.io/library/nginx:1.25"},
      {"docker.io/nginx", "docker.io/library/nginx:latest"},
      {"index.docker.io/nginx", "docker.io/library/nginx:latest"},
      {"team/app", "docker.io/team/app:latest"},
      {"localhost/app", "localhost/app:latest"},
      {"127.0.0.1:5000/a/b:V1", "127.0.0.1:5000/a/b:V1"},
      {"[::1]:5000/a", "[::1]:5000/a:latest"},
      {"registry.k8s.io/nginx-slim:0.21", "registry.k8s.io/nginx-slim:0.21"},
      {"a__b/c---d.e_f", "docker.io/a__b/c---d.e_f:latest"},
      {"nginx@" + kDigest, "docker.io/library/nginx@" + kDigest},
      {"nginx:1.25@" + kDigest, "docker.io/library/nginx:1.25@" + kDigest},
  };
  for (const auto& [given, expected] : cases) {
    auto result = normalize_reference(given);
    ASSERT_TRUE(result.ok()) << given << ": " << result.error().message;
    EXPECT_EQ(*result, expected);
    EXPECT_EQ(*normalize_reference(*result), expected);
  }
}

TEST(ReferenceTest, WhatIsNoReferenceIsRefusedInUpstreamsWords) {
  for (std::string bad : {"",
                          ":tag",
                          "a b",
                          "nginx:",
                          "nginx:-x",
                          "/nginx",
                          "nginx/",
                          "a//b",
                          "-a",
                          "a-",
                          "a..b",
                          "a___b",
                          "nginx@sha256:abc",
                          "nginx@",
                          "example.com:port/a",
                          "example.com:/a",
                          "-x.com/a",
                          "a..com/b",
                          "http://example.com/a",
                          "team/App"}) {
    auto result = normalize_reference(bad);
    ASSERT_TRUE(result.failed_with(Code::kInvalid)) << bad;
    EXPECT_EQ(result.error().message, "couldn't parse image name \"" + bad + "\": invalid reference format");
  }
  EXPECT_FALSE(normalize_reference(std::string(300, 'a')).ok());
  EXPECT_FALSE(normalize_reference("a:" + std::string(129, 't')).ok());
}

}  // namespace
}  // namespace berth::agent
