#include "controllers/shared/pod_names.h"

#include "api/object.h"
#include "base/text.h"

namespace berth::controllers {
namespace {

constexpr std::string_view kLetters = "bcdfghjklmnpqrstvwxz2456789";
constexpr std::size_t kLongestPrefix = 57;  // the API server truncates generateName to the same length

}  // namespace

std::string derived_name(std::string_view owner, std::string_view state, int attempt) {
  std::string out = std::string(owner.substr(0, kLongestPrefix)) + "-";
  std::uint64_t seed = fnv64a(std::string(state) + "/" + std::to_string(attempt));
  for (int i = 0; i < 5; ++i, seed /= kLetters.size()) out += kLetters[seed % kLetters.size()];
  return out;
}

Value pod_of_template(const Value& owner, std::string_view api_version, std::string_view kind,
                      const Value& pod_template, const std::string& name) {
  Value metadata =
      Value::object({{"name", name},
                     {"generateName", std::string(api::name_of(owner)) + "-"},
                     {"namespace", api::namespace_of(owner)},
                     {"ownerReferences", Value::array({api::controller_reference(owner, api_version, kind)})}});
  for (const char* field : {"labels", "annotations", "finalizers"}) {
    if (!pod_template["metadata"][field].empty()) metadata.set(field, pod_template["metadata"][field]);
  }
  return Value::object({{"apiVersion", "v1"}, {"kind", "Pod"}, {"metadata", metadata}, {"spec", pod_template["spec"]}});
}

}  // namespace berth::controllers
