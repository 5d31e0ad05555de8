#pragma once
// securityContext.fsGroup: who owns what is in a volume.

#include <cstdint>
#include <string>

#include "base/json/json.h"
#include "base/result.h"

namespace berth::agent {

struct VolumeOwnership {
  std::int64_t group = -1;  // none
  bool only_when_root_differs = false;
};
VolumeOwnership volume_ownership(const Value& pod);
// Gives everything below `path` to the group, readable and writable for it, directories set-gid. Blocks as long as
// there are files. Links are not followed, and nothing outside is changed whatever others do in it meanwhile. Entries
// that cannot be changed are passed over; the first is told.
Status apply_ownership(const std::string& path, const VolumeOwnership& ownership);

}  // namespace berth::agent
