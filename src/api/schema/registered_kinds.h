#pragma once
// The kinds that Kubernetes 1.36 knows by name, served here or not (schema/kubernetes-1.36.kinds): an object of such a
// kind in the wrong place is answered differently from one of a kind that does not exist.

#include <string_view>

namespace berth::api::schema {

bool is_registered(std::string_view api_version, std::string_view kind);

}  // namespace berth::api::schema
