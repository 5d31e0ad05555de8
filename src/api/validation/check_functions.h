#pragma once
// The functions that `call(NAME)` in schema/*.checks names, and what they share with the rest. Internal to validation/.

#include "api/validation/checks.h"

namespace berth::validation {

// --- volume_sources.cc: the value is the source, unless said otherwise
void check_empty_dir_size(Report& report, const Path& path, const Value& limit);
void check_host_path(Report& report, const Path& path, const Value& source);
void check_iscsi_name(Report& report, const Path& path, const Value& name);
void check_iscsi_initiator(Report& report, const Path& path, const Value& name);
void check_iscsi_secret(Report& report, const Path& path, const Value& source);
void check_fc(Report& report, const Path& path, const Value& source);
void check_quobyte(Report& report, const Path& path, const Value& source);
void check_flocker(Report& report, const Path& path, const Value& source);
void check_flex_option(Report& report, const Path& path, const Value& key);
void check_azure_disk_uri(Report& report, const Path& path, const Value& source);
void check_csi_driver_name(Report& report, const Path& path, const Value& name);
void check_csi_publish_secret(Report& report, const Path& path, const Value& source);

// --- projections.cc
void check_downward_items(Report& report, const Path& path, const Value& source);
void check_projected_sources(Report& report, const Path& path, const Value& source);
enum class FieldRefPlace { kEnvironment, kVolume };
void validate_field_ref(Report& report, const Path& path, const Value& ref, FieldRefPlace place);
void validate_resource_field_ref(Report& report, const Path& path, const Value& ref, FieldRefPlace place);

// --- storage.cc, metadata.cc
void check_claim_spec(Report& report, const Path& path, const Value& spec);
void check_template_metadata(Report& report, const Path& path, const Value& metadata);

}  // namespace berth::validation
