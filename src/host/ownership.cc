#include "host/ownership.h"

#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <functional>

#include "base/files.h"

namespace berth::host {
namespace {

constexpr mode_t kOthersWrite = 022, kOthersAnything = 077;

std::string user(uid_t id) {
  char text[4096];
  passwd entry{};
  passwd* found = nullptr;
  const bool named = ::getpwuid_r(id, &entry, text, sizeof text, &found) == 0 && found != nullptr;
  return "user " + std::to_string(id) + (named ? " (" + std::string(found->pw_name) + ")" : "");
}

std::string octal(mode_t mode) {
  char text[8];
  std::snprintf(text, sizeof text, "%04o", static_cast<unsigned>(mode & 07777));
  return text;
}

// `holds`: the content in messages: "the cluster's keys".
Status check(const std::string& path, mode_t forbidden, const std::string& holds) {
  struct ::stat info {};
  if (::stat(path.c_str(), &info) != 0)
    return errno == ENOENT ? ok_status() : Status(errno_error("reading the mode of " + path));
  if (info.st_uid != ::geteuid()) {
    return error(Code::kForbidden, path + " belongs to " + user(info.st_uid) + ", but berth runs as " +
                                       user(::geteuid()) + ": its owner can read and change " + holds +
                                       ". Take it over with chown " + std::to_string(::geteuid()) + " " + path +
                                       ", or name another directory with --data-dir");
  }
  if ((info.st_mode & forbidden) == 0) return ok_status();
  const bool writable = (info.st_mode & kOthersWrite) != 0;
  return error(Code::kForbidden, path + " has mode " + octal(info.st_mode) + ": others can " +
                                     (writable ? "change " : "read ") + holds + ". Close it with chmod " +
                                     octal(info.st_mode & ~forbidden) + " " + path);
}

Status check_files(const std::string& directory, const std::function<mode_t(const std::string&)>& forbidden,
                   const std::string& holds) {
  Result<std::vector<std::string>> names = list_directory(directory);
  if (!names.ok()) return names.failed_with(Code::kNotFound) ? ok_status() : Status(names.error());
  for (const std::string& name : *names) BERTH_TRY(check(directory + "/" + name, forbidden(name), holds));
  return ok_status();
}

}  // namespace

Status check_ownership(const ClusterDir& dir) {
  const std::string store = dir.root + "/store";
  BERTH_TRY(check(dir.root, kOthersWrite, "the cluster"));
  BERTH_TRY(check(dir.pki(), kOthersAnything, "the cluster's keys"));
  BERTH_TRY(check_files(
      dir.pki(), [](const std::string& name) { return name.ends_with(".crt") ? kOthersWrite : kOthersAnything; },
      "keys or tokens of the cluster"));
  BERTH_TRY(check(store, kOthersAnything, "all objects of the cluster, secrets included"));
  BERTH_TRY(check_files(
      store, [](const std::string&) { return kOthersWrite; }, "all objects of the cluster, secrets included"));
  // The kubeconfig may belong to the user who works with it.
  for (const std::string& path : {dir.settings(), dir.store_witness()})
    BERTH_TRY(check(path, kOthersWrite, "what the cluster was told"));
  for (const std::string& path : {dir.node(), dir.run()})
    BERTH_TRY(check(path, kOthersWrite, "what runs in the cluster"));
  return ok_status();
}

}  // namespace berth::host
