// hostPath volumes: a path of the node, checked against the type asked for.

#include <fcntl.h>
#include <sys/stat.h>

#include "agent/hooks/pod_hook.h"
#include "base/files.h"

namespace berth::agent {
namespace {

// Empty where fine, else kubelet's words.
std::string check(const std::string& path, const std::string& type) {
  struct stat at {};
  bool there = ::stat(path.c_str(), &at) == 0;
  if (type == "DirectoryOrCreate" || type == "FileOrCreate") {
    bool file = type == "FileOrCreate";
    if (!there) {
      if (!file)
        return make_directories(path, 0755).ok() ? "" : "hostPath type check failed: " + path + " could not be created";
      return write_file(path, "", 0644).ok() ? "" : "hostPath type check failed: " + path + " could not be created";
    }
    if (file && !S_ISREG(at.st_mode)) return "hostPath type check failed: " + path + " is not a file";
    if (!file && !S_ISDIR(at.st_mode)) return "hostPath type check failed: " + path + " is not a directory";
    return "";
  }
  if (type.empty()) return "";
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
      return "hostPath type check failed: " + path + " is not a " + kind.words;
    }
  }
  return "";
}

class HostPaths final : public PodHook {
 public:
  std::string_view name() const override { return "host paths"; }

  void prepare(PodContext& pod, HookDone done) override {
    for (const Value& volume : pod.pod["spec"]["volumes"]) {
      const Value& source = volume["hostPath"];
      if (source.is_null()) continue;
      std::string path = source["path"].str();
      if (std::string wrong = check(path, source["type"].str()); !wrong.empty())
        return done(mount_failure(volume["name"].as_string(), wrong));
      // Without a type what is missing is made, as container runtimes do.
      if (!path_exists(path)) (void)make_directories(path, 0755);
      pod.volumes[volume["name"].str()] = PodVolume{path, false};
    }
    done(std::nullopt);
  }
};

}  // namespace

std::unique_ptr<PodHook> make_host_paths_hook() { return std::make_unique<HostPaths>(); }

}  // namespace berth::agent
