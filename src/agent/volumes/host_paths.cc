// hostPath volumes: a path of the node, checked against its type.

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "agent/volumes/host_path.h"
#include "agent/volumes/volume_hooks.h"
#include "base/files.h"

namespace berth::agent {
namespace {

Status wrong(const std::string& path, const std::string& what) {
  return error(Code::kInvalid, "hostPath type check failed: " + path + " " + what);
}

Status make(const std::string& path, bool file) {
  Status made = ok_status();
  if (!file) {
    made = make_directories(path, 0755);
  } else if (Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644)); !fd && errno != EEXIST) {
    made = errno_error("making " + path);
  }
  return made.ok() ? made : wrong(path, "could not be created");
}

class HostPaths final : public PodHook {
 public:
  std::string_view name() const override { return "host paths"; }

  void prepare(PodContext& pod, HookDone done) override {
    for (const Value& volume : pod.pod["spec"]["volumes"]) {
      const Value& source = volume["hostPath"];
      if (source.is_null()) continue;
      std::string path = source["path"].str();
      if (Status ready = prepare_host_path(path, source["type"].str()); !ready.ok())
        return done(mount_failure(volume["name"].as_string(), ready.error().message));
      pod.volumes[volume["name"].str()] = PodVolume{path, false};
    }
    done(std::nullopt);
  }
};

}  // namespace

Status prepare_host_path(const std::string& path, const std::string& type) {
  struct stat at {};
  bool there = ::stat(path.c_str(), &at) == 0;
  if (type.empty()) return there ? ok_status() : make_directories(path, 0755);
  if (type == "DirectoryOrCreate" || type == "FileOrCreate") {
    bool file = type == "FileOrCreate";
    if (!there) return make(path, file);
    if (file && !S_ISREG(at.st_mode)) return wrong(path, "is not a file");
    if (!file && !S_ISDIR(at.st_mode)) return wrong(path, "is not a directory");
    return ok_status();
  }
  struct Kind {
    const char* type;
    mode_t mode;
    const char* words;
  };
  static constexpr Kind kKinds[] = {{"Directory", S_IFDIR, "directory"},
                                    {"File", S_IFREG, "file"},
                                    {"Socket", S_IFSOCK, "socket"},
                                    {"CharDevice", S_IFCHR, "character device"},
                                    {"BlockDevice", S_IFBLK, "block device"}};
  for (const auto& kind : kKinds) {
    if (type == kind.type && (!there || (at.st_mode & S_IFMT) != kind.mode)) {
      return wrong(path, std::string("is not a ") + kind.words);
    }
  }
  return ok_status();
}

std::unique_ptr<PodHook> make_host_paths_hook() { return std::make_unique<HostPaths>(); }

}  // namespace berth::agent
