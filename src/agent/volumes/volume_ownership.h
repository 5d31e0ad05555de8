#pragma once
// securityContext.fsGroup: the owning group of a volume's content.

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
// Makes the group the owner of all files below `path`, readable and writable for it; directories become set-gid. Blocks
// for a time that grows with the number of files. Links are not followed, and no file outside of `path` is changed
// while containers rename files. Entries that cannot be changed are skipped; the error is that of the first.
Status apply_ownership(const std::string& path, const VolumeOwnership& ownership);

}  // namespace berth::agent
