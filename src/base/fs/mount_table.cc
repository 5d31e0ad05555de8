#include "base/fs/mount_table.h"

#include "base/files.h"
#include "base/text.h"

namespace berth {
namespace {

bool is_octal(char c) { return c >= '0' && c <= '7'; }

// "\040" is a blank.
std::string unescape(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && is_octal(text[i + 1]) && is_octal(text[i + 2]) &&
        is_octal(text[i + 3])) {
      out += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

}  // namespace

// "36 35 98:0 /root /target rw,noatime master:1 - ext4 /dev/source rw": any number of optional fields before the dash.
std::vector<MountEntry> parse_mounts(std::string_view text) {
  std::vector<MountEntry> out;
  for (std::string_view line : split(text, '\n')) {
    auto fields = split(line, ' ');
    std::size_t dash = 6;
    while (dash < fields.size() && fields[dash] != "-") ++dash;
    if (dash + 2 >= fields.size()) continue;
    const Cut device = cut(fields[2], ":");
    const auto major = parse_int(device.before), minor = parse_int(device.after);
    if (!major.ok() || !minor.ok()) continue;
    out.push_back({static_cast<unsigned>(*major), static_cast<unsigned>(*minor), unescape(fields[4]),
                   unescape(fields[dash + 1]), unescape(fields[dash + 2]),
                   std::string(dash + 3 < fields.size() ? fields[dash + 3] : "")});
  }
  return out;
}

Result<std::vector<MountEntry>> read_mounts() {
  BERTH_ASSIGN(std::string text, read_file("/proc/thread-self/mountinfo"));
  return parse_mounts(text);
}

}  // namespace berth
