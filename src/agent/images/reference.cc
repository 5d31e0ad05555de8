// Image references, as upstream's reference grammar has them: [domain/]path[:tag][@algorithm:hex].
#include <cstring>

#include "agent/images/image_store.h"
#include "base/text.h"

namespace berth::agent {
namespace {

constexpr const char* kAlphanumeric = "abcdefghijklmnopqrstuvwxyz0123456789";
constexpr const char* kTagCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";

bool only(std::string_view text, const char* allowed) {
  return text.find_first_not_of(allowed) == std::string_view::npos;
}

// Lower case letters and digits, separated by ".", "_", "__" or any number of "-".
bool good_component(std::string_view part) {
  if (part.empty()) return false;
  std::size_t i = 0;
  while (i < part.size()) {
    std::size_t begin = i;
    while (i < part.size() && std::strchr(kAlphanumeric, part[i])) ++i;
    if (i == begin) return false;
    if (i == part.size()) return true;
    std::size_t separator = i;
    while (i < part.size() && !std::strchr(kAlphanumeric, part[i])) ++i;
    std::string_view between = part.substr(separator, i - separator);
    if (between != "." && between != "_" && between != "__" && !only(between, "-")) return false;
  }
  return false;
}

bool good_domain(std::string_view domain) {
  Cut port = cut(domain, ":");
  if (domain.starts_with('[')) {  // IPv6
    std::size_t end = domain.find(']');
    if (end == std::string_view::npos || end < 2 || !only(domain.substr(1, end - 1), "0123456789abcdefABCDEF:"))
      return false;
    std::string_view rest = domain.substr(end + 1);
    return rest.empty() || (rest[0] == ':' && rest.size() > 1 && only(rest.substr(1), "0123456789"));
  }
  if (port.found && (port.after.empty() || !only(port.after, "0123456789"))) return false;
  for (std::string_view label : split(port.before, '.')) {
    if (label.empty() || label.front() == '-' || label.back() == '-' ||
        label.find_first_of("_.") != std::string_view::npos || !only(label, kTagCharacters)) {
      return false;
    }
  }
  return true;
}

bool good_tag(std::string_view tag) {
  return !tag.empty() && tag.size() <= 128 && tag[0] != '.' && tag[0] != '-' && only(tag, kTagCharacters);
}

bool good_digest(std::string_view digest) {
  return digest.size() == 71 && digest.starts_with("sha256:") && only(digest.substr(7), "0123456789abcdef");
}

}  // namespace

Result<std::string> normalize_reference(std::string_view reference) {
  auto fail = [&](const char* why) {
    return error(Code::kInvalid, "couldn't parse image name " + quoted(reference) + ": " + why);
  };
  constexpr const char* kFormat = "invalid reference format";
  std::string_view name = reference, tag, digest;
  if (std::size_t at = name.find('@'); at != std::string_view::npos) {
    digest = name.substr(at + 1);
    name = name.substr(0, at);
    if (!good_digest(digest)) return fail(kFormat);
  }
  std::size_t slash = name.rfind('/'), colon = name.rfind(':');
  if (colon != std::string_view::npos && (slash == std::string_view::npos || colon > slash)) {
    tag = name.substr(colon + 1);
    name = name.substr(0, colon);
    if (!good_tag(tag)) return fail(kFormat);
  }
  // What comes before the first slash is a registry only where it looks like a host.
  std::string domain = "docker.io";
  Cut first = cut(name, "/");
  if (first.found && (first.before.find_first_of(".:") != std::string_view::npos || first.before == "localhost" ||
                      lower(first.before) != first.before)) {
    domain = std::string(first.before);
    name = first.after;
    if (!good_domain(domain)) return fail(kFormat);
  }
  if (domain == "index.docker.io") domain = "docker.io";
  for (std::string_view part : split(name, '/')) {
    if (!good_component(part)) return fail(kFormat);
  }
  std::string path(name);
  if (domain == "docker.io" && path.find('/') == std::string::npos) path = "library/" + path;
  if (domain.size() + 1 + path.size() > 255) return fail("repository name must not be more than 255 characters");
  std::string out = domain + "/" + path;
  if (!tag.empty()) out += ":" + std::string(tag);
  if (!digest.empty()) return out + "@" + std::string(digest);
  return tag.empty() ? out + ":latest" : out;
}

}  // namespace berth::agent
