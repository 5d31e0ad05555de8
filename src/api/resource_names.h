#pragma once
// Classes of resource names ("cpu", "hugepages-2Mi", "example.com/gpu"). Pure.

#include <string_view>

namespace berth::api {

inline bool is_huge_pages(std::string_view name) { return name.starts_with("hugepages-"); }
// Kubernetes' own: unqualified, or of its domain.
inline bool is_native_resource(std::string_view name) {
  return name.find('/') == std::string_view::npos || name.find("kubernetes.io/") != std::string_view::npos;
}

}  // namespace berth::api
