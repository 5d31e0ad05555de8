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

}  // namespace

int run(int argc, char** argv, const Roles& roles) {
  CLI::App app{"Kubernetes for things that remember."};
  app.set_version_flag("--version", kVersionText);
  app.require_subcommand(1);
  app.get_formatter()->column_width(34);
  int code = 0;

  UpOptions up_options;
  CLI::App* up_command =
      app.add_subcommand("up", "bring up a cluster on this machine and wait until its node is Ready");
  add_data_dir(*up_command, up_options.data_dir);
  up_command
      ->add_option("--api-port", up_options.api_port, "port of the API on 127.0.0.1 (default: the last one, or 6443)")
      ->check(CLI::Range(1, 65535));
  up_command->add_option("--node-name", up_options.node_name, "name of the node (default: the last one, or berth-1)");
  up_command->add_option("--feature-gates", up_options.feature_gates,
                         "NAME=true,...: gates of Kubernetes 1.36 to obey (default: the last ones)");
  up_command
      ->add_option("--allowed-unsafe-sysctls", up_options.allowed_unsafe_sysctls,
                   "sysctls that pods may set beside the safe ones, separated by commas; a * at the end stands for any "
                   "rest (default: the last ones, or none)")
      ->delimiter(',')
      ->allow_extra_args(false);
  up_command
      ->add_option(
          "--accept-loss", up_options.accepted_losses,
          "NAME,...: go on although the store has lost writes, as the error that named the loss says; for this once")
      ->delimiter(',')
      ->allow_extra_args(false);
  up_command->callback([&] { code = up(up_options); });

  DownOptions down_options;
  CLI::App* down_command = app.add_subcommand("down", "stop everything; data stays unless --purge is given");
  add_data_dir(*down_command, down_options.data_dir);
  down_command->add_flag("--purge", down_options.purge, "also delete the cluster's data, volumes included");
  down_command
      ->add_option("--grace", down_options.grace_seconds,
                   "the most seconds that a pod gets to end (default: its own terminationGracePeriodSeconds)")
      ->check(CLI::NonNegativeNumber);
  down_command->callback([&] { code = down(down_options); });

  std::string status_dir;
  CLI::App* status_command = app.add_subcommand("status", "what runs, where it listens");
  add_data_dir(*status_command, status_dir);
  status_command->callback([&] { code = status(status_dir); });

  WhyOptions why_options;
  CLI::App* why_command =
      app.add_subcommand("why", "what an object waits for, and what would help; exits 3 where something is waited for");
  add_data_dir(*why_command, why_options.data_dir);
  why_command
      ->add_option("object", why_options.object,
                   "TYPE/NAME: sts/web, pod/web-1, deploy/api, rs/..., ds/..., job/..., pvc/...")
      ->required()
      ->expected(1, 2);
  why_command->add_option("-n,--namespace", why_options.ns, "its namespace (default: the context's)");
  why_command->add_option("-o,--output", why_options.output, "json, for programs")->check(CLI::IsMember({"json"}));
  why_command->callback([&] {
    why_options.data_dir_named = why_command->get_option("--data-dir")->count() > 0;
    code = why(why_options);
  });

  CLI::App* image = app.add_subcommand("image", "images on the node");
  image->require_subcommand(1);

  ImageBuildOptions build_options;
  CLI::App* build = image->add_subcommand("build", "make an image from Debian packages");
  add_data_dir(*build, build_options.data_dir);
  build->add_option("reference", build_options.reference, "name of the image")->required();
  build->add_option("--packages", build_options.packages, "Debian packages, separated by spaces or commas");
  build->add_option("--entrypoint", build_options.entrypoint, "what containers run");
  build->add_option("--cmd", build_options.command, "its default arguments");
  build->add_option("--env", build_options.environment, "NAME=VALUE")->allow_extra_args(false);
  build->add_option("--workdir", build_options.working_directory, "working directory");
  build->add_option("--user", build_options.user, "user that containers run as");
  build->add_option("--file", build_options.files, "SOURCE:PATH-IN-IMAGE")->allow_extra_args(false);
  build->add_option("--run", build_options.run, "a shell line run in the image while it is built")
      ->allow_extra_args(false);
  build->add_option("--output", build_options.output, "write a docker-archive instead of importing it");
  build->add_option("--cache", build_options.cache, "directory of cached package trees (default: /var/cache/berth)");
  build->add_option("--suite", build_options.suite, "Debian suite")->capture_default_str();
  build->callback([&] { code = image_build(build_options); });

  std::string import_dir, import_file, import_reference;
  CLI::App* import_command = image->add_subcommand("import", "import a docker-archive or OCI archive");
  add_data_dir(*import_command, import_dir);
  import_command->add_option("file", import_file, "the archive")->required();
  import_command->add_option("--reference", import_reference, "name to give it (default: the archive's own)");
  import_command->callback([&] { code = image_import(import_dir, import_file, import_reference); });

  std::string list_dir;
  bool list_json = false;
  CLI::App* list = image->add_subcommand("list", "list images");
  add_data_dir(*list, list_dir);
  list->add_flag("--json", list_json, "as JSON");
  list->callback([&] { code = image_list(list_dir, list_json); });

  std::string remove_dir, remove_reference;
  CLI::App* remove = image->add_subcommand("remove", "remove an image");
  add_data_dir(*remove, remove_dir);
  remove->add_option("reference", remove_reference, "name or id")->required();
  remove->callback([&] { code = image_remove(remove_dir, remove_reference); });

  // The roles that `up` starts. They run in the foreground.
  std::string server_dir, agent_dir, supervisor_dir;
  CLI::App* server = app.add_subcommand("server", "run the API server, controllers and scheduler (started by up)");
  add_data_dir(*server, server_dir);
  server->callback([&] { code = roles.server(server_dir); });
  CLI::App* agent = app.add_subcommand("agent", "run the node agent (started by up)");
  add_data_dir(*agent, agent_dir);
  agent->callback([&] { code = roles.agent(agent_dir); });
  CLI::App* supervisor = app.add_subcommand(
      "supervise", "run the server and the agent, and start again the one that ends (started by up)");
  add_data_dir(*supervisor, supervisor_dir);
  supervisor->callback([&] {
    host::save_arguments(argc, argv);
    code = roles.supervisor(supervisor_dir);
  });

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& problem) {
    int answered = app.exit(problem);
    return answered == 0 ? 0 : 2;
  }
  return code;
}

}  // namespace berth::cli
