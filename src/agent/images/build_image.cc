// `berth image build`: an image from Debian packages. mmdebstrap makes the tree, once for a list of packages.
#include <unistd.h>

#include <algorithm>

#include "agent/images/image_store.h"
#include "base/files.h"
#include "base/fs/rooted_dir.h"
#include "base/process/process.h"
#include "base/text.h"

namespace berth::agent {
namespace {

constexpr Duration kPatience = 20min;

Result<std::string> run_step(std::vector<std::string> argv, const std::string& what) {
  Command command;
  command.argv = std::move(argv);
  command.timeout = kPatience;
  Result<std::string> out = run_checked(command);
  if (!out.ok()) return out.error().in(what);
  return out;
}

// What an image never needs, left out while packages are installed.
const char* const kExcluded[] = {"/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*",
                                 "/usr/share/lintian/*"};

// On failure `progress` gets the end of what apt and dpkg have said, where the reason is.
Status install(std::vector<std::string> argv, const std::function<void(std::string_view)>& progress) {
  constexpr std::size_t kMostLines = 60;
  Command command;
  command.argv = std::move(argv);
  command.timeout = kPatience;
  command.output_limit = 16 << 20;
  BERTH_ASSIGN(Finished finished, run_command(command));
  if (finished.ok()) return {};
  auto lines = split(trim(finished.standard_error), '\n');
  std::size_t from = lines.size() > kMostLines ? lines.size() - kMostLines : 0;
  for (std::size_t i = from; i < lines.size(); ++i) progress(trim(lines[i]));
  std::string reason =
      finished.timed_out ? "no end after 20 minutes" : "exit code " + std::to_string(finished.exit_code);
  for (auto line : lines) {
    line = trim(line);
    if (line.starts_with("dpkg: error") || line.find("error: ") != std::string_view::npos ||
        line.starts_with("E: Unable")) {
      reason += ": " + std::string(line);
      break;
    }
  }
  return error(Code::kInternal, "installing packages: mmdebstrap: " + reason);
}

Result<std::string> package_tree(const BuildOptions& options, const std::string& cache,
                                 const std::function<void(std::string_view)>& progress) {
  std::vector<std::string> packages = options.packages;
  std::sort(packages.begin(), packages.end());
  packages.erase(std::unique(packages.begin(), packages.end()), packages.end());
  std::string key = sha256_hex(options.suite + "\n" + join(packages, "\n")).substr(0, 16);
  std::string tree = cache + "/" + options.suite + "-" + key + ".tar";
  if (path_exists(tree)) {
    progress("packages: cached");
    return tree;
  }
  progress("packages: installing " + (packages.empty() ? std::string("the base system") : join(packages, " ")));
  std::string fresh = tree + "." + std::to_string(::getpid()) + ".tar";
  std::vector<std::string> argv = {"mmdebstrap", "--mode=root", "--variant=minbase",
                                   "--aptopt=APT::Install-Recommends \"false\"", "--dpkgopt=force-unsafe-io"};
  for (const char* excluded : kExcluded) argv.push_back(std::string("--dpkgopt=path-exclude=") + excluded);
  // update-alternatives of some packages, such as those of Java, fails without these directories.
  argv.push_back(
      "--essential-hook=mkdir -p \"$1\"/usr/share/man/man1 \"$1\"/usr/share/man/man7 \"$1\"/usr/share/man/man8");
  if (!packages.empty()) argv.push_back("--include=" + join(packages, ","));
  argv.push_back(options.suite);
  argv.push_back(fresh);
  Status made = install(std::move(argv), progress);
  if (!made.ok()) {
    ::unlink(fresh.c_str());
    return made.error();
  }
  if (::rename(fresh.c_str(), tree.c_str()) != 0) return errno_error("keeping " + tree);
  return tree;
}

// Links in the tree, such as /var/run, lead to the tree's own directories and not to this machine's.
Status put_file(const std::string& root, const std::string& source, const std::string& target) {
  BERTH_ASSIGN(RootedDir tree, RootedDir::open(root));
  std::size_t slash = target.rfind('/');
  std::string name = target.substr(slash + 1);
  BERTH_ASSIGN(RootedDir folder, tree.make_directories(target.substr(0, slash), 0755));
  if (auto there = tree.directory(target); !name.empty() && there.ok()) {
    folder = std::move(*there);  // as cp does: into a directory that is there
    name.clear();
  }
  Command copy;
  constexpr int kFolder = 3;
  copy.argv = {"cp",
               "-a",
               "--no-preserve=ownership",
               "--remove-destination",
               "--",
               source,
               "/proc/self/fd/" + std::to_string(kFolder) + "/" + name};
  copy.descriptors = {{folder.fd(), kFolder}};
  copy.timeout = kPatience;
  auto copied = run_checked(copy);
  if (!copied.ok()) return copied.error().in("copying " + source + " to " + target);
  return {};
}

// The tree with files put in and commands run.
Status customize(const BuildOptions& options, const std::string& tree, const std::string& work,
                 const std::string& layer, const std::function<void(std::string_view)>& progress) {
  std::string root = work + "/root";
  BERTH_TRY(make_directories(root));
  BERTH_TRY(run_step({"tar", "-C", root, "--numeric-owner", "--xattrs", "-xpf", tree}, "unpacking the package tree"));
  for (const auto& [source, target] : options.files) {
    if (!target.starts_with("/") || target.find("..") != std::string::npos) {
      return error(Code::kInvalid,
                   "--file " + source + ":" + target + ": the path in the image must be absolute and without ..");
    }
    progress("file: " + target);
    BERTH_TRY(put_file(root, source, target));
  }
  for (const std::string& line : options.run) {
    progress("run: " + line);
    BERTH_TRY(run_step({"chroot", root, "/bin/sh", "-ec", line}, "running " + quoted(line) + " in the image"));
  }
  BERTH_TRY(run_step({"tar", "-C", root, "--numeric-owner", "--xattrs", "--sort=name", "-cf", layer, "."},
                     "packing the layer"));
  return ok_status();
}

Value strings(const std::vector<std::string>& list) {
  Value out = Value::array();
  for (const std::string& text : list) out.push(text);
  return out;
}

Value image_config(const BuildOptions& options, const std::string& diff_id) {
  std::vector<std::string> environment = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"};
  environment.insert(environment.end(), options.environment.begin(), options.environment.end());
  Value config = Value::object({{"Env", strings(environment)}});
  if (!options.entrypoint.empty()) config.set("Entrypoint", strings(options.entrypoint));
  if (!options.command.empty()) config.set("Cmd", strings(options.command));
  if (options.entrypoint.empty() && options.command.empty()) config.set("Cmd", Value::array({"/bin/sh"}));
  if (!options.working_directory.empty()) config.set("WorkingDir", options.working_directory);
  if (!options.user.empty()) config.set("User", options.user);
  return Value::object({{"architecture", "amd64"},
                        {"os", "linux"},
                        {"config", config},
                        {"rootfs", Value::object({{"type", "layers"}, {"diff_ids", Value::array({diff_id})}})}});
}

Status write_archive(const BuildOptions& options, const std::string& layer, const std::string& work,
                     const std::string& output) {
  BERTH_ASSIGN(std::string sum, run_step({"sha256sum", layer}, "hashing the layer"));
  std::string hex(cut(sum, " ").before);
  std::string out = work + "/archive";
  BERTH_TRY(make_directories(out));
  if (::link(layer.c_str(), (out + "/" + hex + ".tar").c_str()) != 0) {
    BERTH_TRY(run_step({"cp", layer, out + "/" + hex + ".tar"}, "copying the layer"));
  }
  std::string config = json::encode(image_config(options, "sha256:" + hex));
  std::string config_name = sha256_hex(config) + ".json";
  BERTH_TRY(write_file(out + "/" + config_name, config));
  BERTH_ASSIGN(std::string name, normalize_reference(options.reference));
  Value manifest = Value::array({Value::object(
      {{"Config", config_name}, {"RepoTags", Value::array({name})}, {"Layers", Value::array({hex + ".tar"})}})});
  BERTH_TRY(write_file(out + "/manifest.json", json::encode(manifest)));
  BERTH_TRY(run_step({"tar", "-C", out, "-cf", output + ".new", "manifest.json", config_name, hex + ".tar"},
                     "packing the image"));
  if (::rename((output + ".new").c_str(), output.c_str()) != 0) return errno_error("writing " + output);
  return ok_status();
}

}  // namespace

Status build_image(const BuildOptions& options, const std::string& cache, const std::string& output,
                   const std::function<void(std::string_view)>& progress) {
  Result<std::string> name = normalize_reference(options.reference);
  if (!name.ok()) return name.error();
  BERTH_TRY(make_directories(cache));
  BERTH_ASSIGN(std::string tree, package_tree(options, cache, progress));
  std::string work = cache + "/work-" + std::to_string(::getpid());
  BERTH_TRY(make_directories(work, 0700));
  std::string layer = tree;
  Status status = ok_status();
  if (!options.files.empty() || !options.run.empty()) {
    layer = work + "/layer.tar";
    status = customize(options, tree, work, layer, progress);
  }
  if (status.ok()) status = write_archive(options, layer, work, output);
  (void)remove_all(work);
  return status;
}

}  // namespace berth::agent
