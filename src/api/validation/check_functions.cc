#include "api/validation/check_functions.h"

#include <algorithm>

namespace berth::validation {
namespace {

struct Named {
  std::string_view name;
  CheckFunction function;
};
constexpr Named kFunctions[] = {
    {"azure_disk_uri", check_azure_disk_uri},
    {"claim_spec", check_claim_spec},
    {"csi_driver_name", check_csi_driver_name},
    {"csi_publish_secret", check_csi_publish_secret},
    {"downward_items", check_downward_items},
    {"empty_dir_size", check_empty_dir_size},
    {"fc", check_fc},
    {"flex_option", check_flex_option},
    {"flocker", check_flocker},
    {"host_path", check_host_path},
    {"iscsi_initiator", check_iscsi_initiator},
    {"iscsi_name", check_iscsi_name},
    {"iscsi_secret", check_iscsi_secret},
    {"projected_sources", check_projected_sources},
    {"quobyte", check_quobyte},
    {"template_metadata", check_template_metadata},
};

}  // namespace

CheckFunction check_function(std::string_view name) {
  const auto at = std::find_if(std::begin(kFunctions), std::end(kFunctions), [&](const Named& one) { return one.name == name; });
  return at == std::end(kFunctions) ? nullptr : at->function;
}

}  // namespace berth::validation
