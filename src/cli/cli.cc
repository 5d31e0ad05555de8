// The command line: one table of commands and their options.
#include <CLI/CLI.hpp>

#include "base/version.h"
#include "cli/commands.h"
#include "cli/why.h"
#include "host/cluster_dir.h"
#include "host/daemon.h"

namespace berth::cli {
namespace {

constexpr const char* kDefaultDataDir = host::kDefaultRoot;
const std::string kVersionText = std::string("berth ") + kVersion + " (Kubernetes API 1.36)";

void add_data_dir(CLI::App& app, std::string& data_dir) {
  data_dir = kDefaultDataDir;
  app.add_option("--data-dir", data_dir, "the cluster's directory")->envname("BERTH_DATA_DIR")->capture_default_str();
}

// The table. CLI11 keeps references to the options, which therefore are members.
class CommandLine {
 public:
  explicit CommandLine(const Roles& roles) : roles_(roles) {
    app_.set_version_flag("--version", kVersionText);
    app_.require_subcommand(1);
    app_.get_formatter()->column_width(34);
    add_up();
    add_down();
    add_status();
    add_why();
    CLI::App* image = app_.add_subcommand("image", "images on the node");
    image->require_subcommand(1);
    add_image_build(image);
    add_image_import(image);
    add_image_list(image);
    add_image_remove(image);
    add_roles();
  }

  int run(int argc, char** argv) {
    argc_ = argc;
    argv_ = argv;
    try {
      app_.parse(argc, argv);
    } catch (const CLI::ParseError& problem) {
      return app_.exit(problem) == 0 ? 0 : 2;
    }
    return code_;
  }

 private:
  void add_up() {
    CLI::App* up_command =
        app_.add_subcommand("up", "bring up a cluster on this machine and wait until its node is Ready");
    add_data_dir(*up_command, up_options_.data_dir);
    up_command
        ->add_option("--api-port", up_options_.api_port,
                     "port of the API on 127.0.0.1 (default: the last one, or 6443)")
        ->check(CLI::Range(1, 65535));
    up_command->add_option("--node-name", up_options_.node_name,
                           "name of the node (default: the last one, or berth-1)");
    up_command->add_option("--feature-gates", up_options_.feature_gates,
                           "NAME=true,...: gates of Kubernetes 1.36 to obey (default: the last ones)");
    up_command
        ->add_option(
            "--allowed-unsafe-sysctls", up_options_.allowed_unsafe_sysctls,
            "sysctls that pods may set beside the safe ones, separated by commas; a * at the end stands for any "
            "rest (default: the last ones, or none)")
        ->delimiter(',')
        ->allow_extra_args(false);
    up_command
        ->add_option(
            "--accept-loss", up_options_.accepted_losses,
            "NAME,...: go on although the store has lost writes, as the error that named the loss says; for this once")
        ->delimiter(',')
        ->allow_extra_args(false);
    up_command->callback([this] { code_ = up(up_options_); });
  }

  void add_down() {
    CLI::App* down_command = app_.add_subcommand("down", "stop everything; data stays unless --purge is given");
    add_data_dir(*down_command, down_options_.data_dir);
    down_command->add_flag("--purge", down_options_.purge, "also delete the cluster's data, volumes included");
    down_command
        ->add_option("--grace", down_options_.grace_seconds,
                     "the most seconds that a pod gets to end (default: its own terminationGracePeriodSeconds)")
        ->check(CLI::NonNegativeNumber);
    down_command->callback([this] { code_ = down(down_options_); });
  }

  void add_status() {
    CLI::App* status_command = app_.add_subcommand("status", "what runs, where it listens");
    add_data_dir(*status_command, status_dir_);
    status_command->callback([this] { code_ = status(status_dir_); });
  }

  void add_why() {
    CLI::App* why_command = app_.add_subcommand(
        "why", "what an object waits for, and what would help; exits 3 where something is waited for");
    add_data_dir(*why_command, why_options_.data_dir);
    why_command
        ->add_option("object", why_options_.object,
                     "TYPE/NAME: sts/web, pod/web-1, deploy/api, rs/..., ds/..., job/..., pvc/...")
        ->required()
        ->expected(1, 2);
    why_command->add_option("-n,--namespace", why_options_.ns, "its namespace (default: the context's)");
    why_command->add_option("-o,--output", why_options_.output, "json, for programs")->check(CLI::IsMember({"json"}));
    why_command->callback([this, why_command] {
      why_options_.data_dir_named = why_command->get_option("--data-dir")->count() > 0;
      code_ = why(why_options_);
    });
  }

  void add_image_build(CLI::App* image) {
    CLI::App* build = image->add_subcommand("build", "make an image from Debian packages");
    add_data_dir(*build, build_options_.data_dir);
    build->add_option("reference", build_options_.reference, "name of the image")->required();
    build->add_option("--packages", build_options_.packages, "Debian packages, separated by spaces or commas");
    build->add_option("--entrypoint", build_options_.entrypoint, "what containers run");
    build->add_option("--cmd", build_options_.command, "its default arguments");
    build->add_option("--env", build_options_.environment, "NAME=VALUE")->allow_extra_args(false);
    build->add_option("--workdir", build_options_.working_directory, "working directory");
    build->add_option("--user", build_options_.user, "user that containers run as");
    build->add_option("--file", build_options_.files, "SOURCE:PATH-IN-IMAGE")->allow_extra_args(false);
    build->add_option("--run", build_options_.run, "a shell line run in the image while it is built")
        ->allow_extra_args(false);
    build->add_option("--output", build_options_.output, "write a docker-archive instead of importing it");
    build->add_option("--cache", build_options_.cache, "directory of cached package trees (default: /var/cache/berth)");
    build->add_option("--suite", build_options_.suite, "Debian suite")->capture_default_str();
    build->callback([this] { code_ = image_build(build_options_); });
  }

  void add_image_import(CLI::App* image) {
    CLI::App* import_command = image->add_subcommand("import", "import a docker-archive or OCI archive");
    add_data_dir(*import_command, import_dir_);
    import_command->add_option("file", import_file_, "the archive")->required();
    import_command->add_option("--reference", import_reference_, "name to give it (default: the archive's own)");
    import_command->callback([this] { code_ = image_import(import_dir_, import_file_, import_reference_); });
  }

  void add_image_list(CLI::App* image) {
    CLI::App* list = image->add_subcommand("list", "list images");
    add_data_dir(*list, list_dir_);
    list->add_flag("--json", list_json_, "as JSON");
    list->callback([this] { code_ = image_list(list_dir_, list_json_); });
  }

  void add_image_remove(CLI::App* image) {
    CLI::App* remove = image->add_subcommand("remove", "remove an image");
    add_data_dir(*remove, remove_dir_);
    remove->add_option("reference", remove_reference_, "name or id")->required();
    remove->callback([this] { code_ = image_remove(remove_dir_, remove_reference_); });
  }

  // The roles that `up` starts. They run in the foreground.
  void add_roles() {
    CLI::App* server = app_.add_subcommand("server", "run the API server, controllers and scheduler (started by up)");
    add_data_dir(*server, server_dir_);
    server->callback([this] { code_ = roles_.server(server_dir_); });
    CLI::App* agent = app_.add_subcommand("agent", "run the node agent (started by up)");
    add_data_dir(*agent, agent_dir_);
    agent->callback([this] { code_ = roles_.agent(agent_dir_); });
    CLI::App* supervisor = app_.add_subcommand(
        "supervise", "run the server and the agent, and start again the one that ends (started by up)");
    add_data_dir(*supervisor, supervisor_dir_);
    supervisor->callback([this] {
      host::save_arguments(argc_, argv_);
      code_ = roles_.supervisor(supervisor_dir_);
    });
  }

  const Roles& roles_;
  CLI::App app_{"Kubernetes for things that remember."};
  int argc_ = 0;
  char** argv_ = nullptr;
  int code_ = 0;  // of the command that was run
  UpOptions up_options_;
  DownOptions down_options_;
  WhyOptions why_options_;
  ImageBuildOptions build_options_;
  std::string status_dir_, server_dir_, agent_dir_, supervisor_dir_;
  std::string import_dir_, import_file_, import_reference_;
  std::string list_dir_;
  bool list_json_ = false;
  std::string remove_dir_, remove_reference_;
};

}  // namespace

int run(int argc, char** argv, const Roles& roles) { return CommandLine(roles).run(argc, argv); }

}  // namespace berth::cli
