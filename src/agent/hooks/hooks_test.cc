// The pure parts of the hooks, and those that only touch a directory.

#include "agent/hooks/hooks.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>

#include "agent/dns/resolver.h"
#include "agent/images/layer_view.h"
#include "agent/mounts/mounts.h"
#include "agent/pod/object_cache.h"
#include "agent/pod/references.h"
#include "agent/runtime/oci_spec.h"
#include "agent/spec/environment.h"
#include "agent/spec/resources.h"
#include "agent/spec/security.h"
#include "agent/testing/test_cluster.h"
#include "agent/testing/test_node.h"
#include "agent/testing/test_values.h"
#include "agent/volumes/atomic_writer.h"
#include "agent/volumes/host_path.h"
#include "agent/volumes/sub_paths.h"
#include "agent/volumes/volume_hooks.h"
#include "agent/volumes/volume_ownership.h"
#include "agent/worker/mounts_of_container.h"
#include "api/object.h"
#include "base/files.h"
#include "base/fs/test_swapper.h"
#include "client/event_recorder.h"

namespace berth::agent {
namespace {

using testing::parsed;

Value pod_of(const char* spec) {
  return Value::object({{"metadata", Value::object({{"name", "web-0"},
                                                    {"namespace", "shop"},
                                                    {"uid", "u1"},
                                                    {"labels", parsed(R"({"app":"web","tier":"a\"b"})")}})},
                        {"spec", parsed(spec)}});
}

TEST(Expansion, FollowsKubernetesRules) {
  Variables v = {{"A", "1"}, {"B", "$(A)"}};
  EXPECT_EQ(expand_variables("$(A)-$(B)", v), "1-$(A)");
  EXPECT_EQ(expand_variables("$$(A) $$$(A)", v), "$(A) $1");
  EXPECT_EQ(expand_variables("$(NO) $A $ $(A", v), "$(NO) $A $ $(A");
  EXPECT_EQ(expand_variables("$(X)", v, {{"X", "other"}}), "other");
}

TEST(ServiceLinks, AreNamedAsDockerDid) {
  std::vector<Value> services = {
      parsed(
          R"({"metadata":{"name":"my-db","namespace":"shop"},"spec":{"clusterIP":"10.96.1.2","ports":[{"name":"sql","port":3306,"protocol":"TCP"},{"name":"x","port":4444,"protocol":"UDP"}]}})"),
      parsed(R"({"metadata":{"name":"headless","namespace":"shop"},"spec":{"clusterIP":"None","ports":[{"port":1}]}})"),
      parsed(
          R"({"metadata":{"name":"other","namespace":"elsewhere"},"spec":{"clusterIP":"10.96.1.3","ports":[{"port":1}]}})"),
      parsed(
          R"({"metadata":{"name":"kubernetes","namespace":"default"},"spec":{"clusterIP":"10.96.0.1","ports":[{"name":"https","port":443}]}})")};
  Variables v = service_variables(services, "shop", true);
  EXPECT_EQ(v["MY_DB_SERVICE_HOST"], "10.96.1.2");
  EXPECT_EQ(v["MY_DB_SERVICE_PORT"], "3306");
  EXPECT_EQ(v["MY_DB_SERVICE_PORT_SQL"], "3306");
  EXPECT_EQ(v["MY_DB_PORT"], "tcp://10.96.1.2:3306");
  EXPECT_EQ(v["MY_DB_PORT_4444_UDP"], "udp://10.96.1.2:4444");
  EXPECT_EQ(v["MY_DB_PORT_4444_UDP_PROTO"], "udp");
  EXPECT_EQ(v["KUBERNETES_SERVICE_HOST"], "10.96.0.1");
  EXPECT_FALSE(v.contains("HEADLESS_SERVICE_HOST"));
  EXPECT_FALSE(v.contains("OTHER_SERVICE_HOST"));
  v = service_variables(services, "shop", false);
  EXPECT_FALSE(v.contains("MY_DB_SERVICE_HOST"));
  EXPECT_TRUE(v.contains("KUBERNETES_SERVICE_HOST"));
}

TEST(CommandLine, MixesImageAndContainer) {
  Value image = parsed(R"({"Entrypoint":["/entry"],"Cmd":["serve"],"Env":["PATH=/x","A=image"],"WorkingDir":"/srv"})");
  auto line = command_line(parsed(R"({"name":"c"})"), image, {}, "web-0");
  EXPECT_EQ(line.args, (std::vector<std::string>{"/entry", "serve"}));
  EXPECT_EQ(line.working_directory, "/srv");
  EXPECT_EQ(line.env, (std::vector<std::string>{"PATH=/x", "A=image", "HOSTNAME=web-0"}));
  line = command_line(parsed(R"x({"args":["$(A)"]})x"), image, {{"A", "own"}}, "h");
  EXPECT_EQ(line.args, (std::vector<std::string>{"/entry", "own"}));
  EXPECT_EQ(line.env, (std::vector<std::string>{"PATH=/x", "HOSTNAME=h", "A=own"}));
  line = command_line(parsed(R"({"command":["/other"],"workingDir":"/w"})"), image, {}, "h");
  EXPECT_EQ(line.args, std::vector<std::string>{"/other"}) << "a command hides the image's arguments";
  EXPECT_EQ(line.working_directory, "/w");
  line = command_line(parsed("{}"), Value(), {}, "h");
  EXPECT_TRUE(line.args.empty());
  EXPECT_EQ(line.env[0].substr(0, 5), "PATH=");
}

TEST(Resolver, FollowsThePolicy) {
  ResolverSettings settings{"10.96.0.10", "cluster.local", "nameserver 192.0.2.1\nsearch lan\noptions timeout:3\n"};
  auto text = [&](const char* spec) { return resolver_content(pod_of(spec), settings); };
  EXPECT_EQ(
      text("{}"),
      "search shop.svc.cluster.local svc.cluster.local cluster.local lan\nnameserver 10.96.0.10\noptions ndots:5\n");
  EXPECT_EQ(text(R"({"dnsPolicy":"Default"})"), "search lan\nnameserver 192.0.2.1\noptions timeout:3\n");
  EXPECT_EQ(text(R"({"hostNetwork":true})"), "search lan\nnameserver 192.0.2.1\noptions timeout:3\n");
  EXPECT_EQ(text(R"({"hostNetwork":true,"dnsPolicy":"ClusterFirstWithHostNet"})").substr(0, 11), "search shop");
  EXPECT_EQ(
      text(
          R"({"dnsPolicy":"None","dnsConfig":{"nameservers":["192.0.2.9"],"searches":["a.b"],"options":[{"name":"ndots","value":"2"},{"name":"rotate"}]}})"),
      "search a.b\nnameserver 192.0.2.9\noptions ndots:2 rotate\n");
  EXPECT_EQ(
      text(R"({"dnsConfig":{"options":[{"name":"ndots","value":"1"}],"nameservers":["10.96.0.10"]}})"),
      "search shop.svc.cluster.local svc.cluster.local cluster.local lan\nnameserver 10.96.0.10\noptions ndots:1\n");
}

TEST(Hosts, HaveThePodAndItsAliases) {
  Value pod = pod_of(R"({"hostAliases":[{"ip":"1.2.3.4","hostnames":["a","b"]}]})");
  std::string text = hosts_content(pod, "10.244.0.7", "web-0", "web-0.web.shop.svc.cluster.local");
  EXPECT_NE(text.find("127.0.0.1\tlocalhost\n"), std::string::npos);
  EXPECT_NE(text.find("\n10.244.0.7\tweb-0.web.shop.svc.cluster.local\tweb-0\n"), std::string::npos);
  EXPECT_NE(text.find("# Entries added by HostAliases.\n1.2.3.4\ta\tb\n"), std::string::npos);
  EXPECT_NE(hosts_content(pod_of("{}"), "10.244.0.7", "web-0", "").find("\n10.244.0.7\tweb-0\n"), std::string::npos);
}

TEST(Resources, OfContainersAndPods) {
  Value pod = pod_of(
      R"({"containers":[{"name":"a","resources":{"limits":{"cpu":"500m","memory":"64Mi"},"requests":{"cpu":"250m"}}},
                                       {"name":"b","resources":{"limits":{"cpu":"1","memory":"1Gi"}}}],
                         "initContainers":[{"name":"i","resources":{"limits":{"cpu":"2","memory":"10Mi"}}}]})");
  Limits a = container_limits(pod["spec"]["containers"][0]);
  EXPECT_EQ(a.cpu_milli_limit, 500);
  EXPECT_EQ(a.cpu_milli_request, 250);
  EXPECT_EQ(a.memory_bytes, 64 << 20);
  Limits all = pod_limits(pod);
  EXPECT_EQ(all.cpu_milli_limit, 2000) << "the init container needs more than both";
  EXPECT_EQ(all.memory_bytes, (64 << 20) + (1 << 30));
  pod.mut("spec").mut("containers").push(parsed(R"({"name":"free"})"));
  EXPECT_EQ(pod_limits(pod).memory_bytes, 0) << "no limit where one container has none";
  pod.set("status", parsed(R"({"qosClass":"Burstable"})"));
  EXPECT_EQ(oom_score(pod, parsed(R"({"resources":{"requests":{"memory":"1Gi"}}})"), 4ll << 30), 750);
  EXPECT_EQ(oom_score(pod, parsed("{}"), 4ll << 30), 999);
  pod.set("status", parsed(R"({"qosClass":"Guaranteed"})"));
  EXPECT_EQ(oom_score(pod, parsed("{}"), 4ll << 30), -997);
  pod.set("status", parsed(R"({"qosClass":"BestEffort"})"));
  EXPECT_EQ(oom_score(pod, parsed("{}"), 4ll << 30), 1000);
}

TEST(Resources, ASidecarIsNoMoreLikelyToBeKilledThanWhatItServes) {
  Value pod = pod_of(
      R"({"containers":[{"name":"a","resources":{"requests":{"memory":"1Gi"}}},{"name":"b","resources":{"requests":{"memory":"2Gi"}}}],
                         "initContainers":[{"name":"i","restartPolicy":"Always"},{"name":"j"}]})");
  pod.set("status", parsed(R"({"qosClass":"Burstable"})"));
  EXPECT_EQ(oom_score(pod, pod["spec"]["initContainers"][0], 4ll << 30), 750);
  EXPECT_EQ(oom_score(pod, pod["spec"]["initContainers"][1], 4ll << 30), 999) << "not a sidecar";
  pod.mut("spec").set("resources", parsed(R"({"requests":{"memory":"3584Mi"}})"));
  // 512 MiB beyond what the containers ask for, shared by three.
  EXPECT_EQ(oom_score(pod, pod["spec"]["containers"][1], 4ll << 30), 459);
}

class Layers : public ::testing::Test {
 protected:
  Layers() {
    testing::make_busybox_root(directory_ / "low");
    (void)make_directories(directory_ / "high/etc");
    layers_ = {directory_ / "low", directory_ / "high"};
  }
  Status resolve(const char* pod_spec, const char* container, const char* image) {
    spec_ = ContainerSpec{};
    auto users = read_image_users(layers_);
    if (!users.ok()) return users.error();
    if (!needs_image_users(pod_of(pod_spec), parsed(container), parsed(image))) users = ImageUsers{};
    return resolve_security(pod_of(pod_spec), parsed(container), parsed(image), *users, "web-0_shop(u1)", spec_);
  }
  testing::TemporaryDirectory directory_;
  std::vector<std::string> layers_;
  ContainerSpec spec_;
};

TEST_F(Layers, UsersComeFromTheImage) {
  ASSERT_TRUE(resolve("{}", R"({"name":"c"})", R"({"User":"mysql"})").ok());
  EXPECT_EQ(spec_.uid, 101);
  EXPECT_EQ(spec_.gid, 102);
  EXPECT_EQ(spec_.groups, std::vector<std::int64_t>{150});
  ASSERT_TRUE(resolve("{}", R"({"name":"c"})", R"({"User":"7:mysql"})").ok());
  EXPECT_EQ(spec_.uid, 7);
  EXPECT_EQ(spec_.gid, 102);
  ASSERT_TRUE(resolve(R"({"securityContext":{"runAsUser":5,"runAsGroup":6,"fsGroup":8,"supplementalGroups":[9]}})",
                      R"({"name":"c"})", R"({"User":"mysql"})")
                  .ok());
  EXPECT_EQ(spec_.uid, 5);
  EXPECT_EQ(spec_.gid, 6);
  EXPECT_EQ(spec_.groups, (std::vector<std::int64_t>{8, 9}));
  ASSERT_TRUE(
      resolve(R"({"securityContext":{"runAsUser":5}})", R"({"name":"c","securityContext":{"runAsUser":101}})", "{}")
          .ok());
  EXPECT_EQ(spec_.uid, 101);
  EXPECT_EQ(spec_.gid, 102) << "the primary group of that user";
  auto unknown = resolve("{}", R"({"name":"c"})", R"({"User":"nobody-here"})");
  ASSERT_FALSE(unknown.ok());
  EXPECT_EQ(unknown.error().message, "unable to find user nobody-here: no matching entries in passwd file");
}

TEST_F(Layers, UpperLayersHideLowerOnes) {
  ASSERT_TRUE(write_file(directory_ / "high/etc/passwd", "mysql:x:9:9::/:/bin/sh\n").ok());
  ASSERT_TRUE(resolve("{}", R"({"name":"c"})", R"({"User":"mysql"})").ok());
  EXPECT_EQ(spec_.uid, 9);
}

TEST_F(Layers, LinksOfALayerLeadNowhereButIntoTheImage) {
  std::string outside = directory_ / "outside";
  ASSERT_TRUE(make_directories(outside).ok());
  ASSERT_TRUE(write_file(outside + "/passwd", "mysql:x:66:66::/:/bin/sh\n").ok());
  // The directory itself is a link, absolute or by "..", and then the file.
  ASSERT_TRUE(remove_all(directory_ / "high/etc").ok());
  for (const std::string& target :
       {outside, std::string("../outside"), std::string("../../../../../../../..") + outside}) {
    ASSERT_EQ(::symlink(target.c_str(), (directory_ / "high/etc").c_str()), 0);
    EXPECT_EQ(image_file(layers_, "etc/passwd", 1000).value(), "") << target;
    ASSERT_EQ(::unlink((directory_ / "high/etc").c_str()), 0);
  }
  ASSERT_TRUE(make_directories(directory_ / "high/etc").ok());
  ASSERT_EQ(::symlink((outside + "/passwd").c_str(), (directory_ / "high/etc/passwd").c_str()), 0);
  EXPECT_EQ(image_file(layers_, "etc/passwd", 1000).value(), "");
  // Links inside the image are followed, over the layers.
  ASSERT_EQ(::unlink((directory_ / "high/etc/passwd").c_str()), 0);
  ASSERT_EQ(::symlink("/usr/../usr/lib/users", (directory_ / "high/etc/passwd").c_str()), 0);
  ASSERT_TRUE(make_directories(directory_ / "low/usr/lib").ok());
  ASSERT_TRUE(write_file(directory_ / "low/usr/lib/users", "mysql:x:7:7::/:/bin/sh\n").ok());
  EXPECT_EQ(image_file(layers_, "etc/passwd", 1000).value(), "mysql:x:7:7::/:/bin/sh\n");
  ASSERT_EQ(::unlink((directory_ / "high/etc/passwd").c_str()), 0);
  ASSERT_EQ(::symlink("passwd", (directory_ / "high/etc/passwd").c_str()), 0);
  EXPECT_EQ(image_file(layers_, "etc/passwd", 1000).value(), "") << "a link to itself";
}

TEST_F(Layers, WhiteoutsAndOpaqueDirectoriesHide) {
  ASSERT_NE(image_file(layers_, "etc/passwd", 10000).value(), "");
  ASSERT_EQ(::setxattr((directory_ / "high/etc").c_str(), "trusted.overlay.opaque", "y", 1, 0), 0);
  EXPECT_EQ(image_file(layers_, "etc/passwd", 10000).value(), "");
  ASSERT_TRUE(remove_all(directory_ / "high/etc").ok());
  ASSERT_NE(image_file(layers_, "etc/passwd", 10000).value(), "");
  ASSERT_EQ(::mknod((directory_ / "high/etc").c_str(), S_IFCHR, 0), 0);
  EXPECT_EQ(image_file(layers_, "etc/passwd", 10000).value(), "");
}

TEST_F(Layers, FilesOfUsersAreBoundedAndFiles) {
  ASSERT_TRUE(write_file(directory_ / "high/etc/passwd", std::string(2 << 20, 'x')).ok());
  auto large = resolve("{}", R"({"name":"c"})", R"({"User":"mysql"})");
  ASSERT_FALSE(large.ok());
  EXPECT_EQ(large.error().message, "/etc/passwd of the image is larger than 1048576 bytes");
  ASSERT_TRUE(remove_all(directory_ / "high/etc/passwd").ok());
  ASSERT_EQ(::mkfifo((directory_ / "high/etc/passwd").c_str(), 0600), 0);
  EXPECT_EQ(image_file(layers_, "etc/passwd", 1000).value(), "") << "a pipe is not waited for";
}

TEST_F(Layers, RootIsRefusedWhereItIsNotWanted) {
  const char* pod = R"({"securityContext":{"runAsNonRoot":true}})";
  EXPECT_EQ(resolve(pod, R"({"name":"c"})", "{}").error().message,
            "container has runAsNonRoot and image will run as root (pod: \"web-0_shop(u1)\", container: c)");
  EXPECT_EQ(
      resolve(pod, R"({"name":"c"})", R"({"User":"mysql"})").error().message,
      "container has runAsNonRoot and image has non-numeric user (mysql), cannot verify user is non-root (pod: \"web-0_shop(u1)\", container: c)");
  EXPECT_EQ(resolve(pod, R"({"name":"c","securityContext":{"runAsUser":0}})", "{}").error().message,
            "container's runAsUser breaks non-root policy (pod: \"web-0_shop(u1)\", container: c)");
  EXPECT_TRUE(resolve(pod, R"({"name":"c"})", R"({"User":"101"})").ok());
}

TEST(Capabilities, AreAddedAndDropped) {
  auto held = *resolve_capabilities(Value());
  EXPECT_NE(std::find(held.begin(), held.end(), "CAP_CHOWN"), held.end());
  EXPECT_EQ(std::find(held.begin(), held.end(), "CAP_NET_ADMIN"), held.end());
  held = *resolve_capabilities(parsed(R"({"drop":["ALL"],"add":["NET_BIND_SERVICE"]})"));
  EXPECT_EQ(held, std::vector<std::string>{"CAP_NET_BIND_SERVICE"});
  held = *resolve_capabilities(parsed(R"({"add":["ALL"],"drop":["CHOWN"]})"));
  EXPECT_EQ(std::find(held.begin(), held.end(), "CAP_CHOWN"), held.end());
  EXPECT_NE(std::find(held.begin(), held.end(), "CAP_NET_ADMIN"), held.end());
  for (const char* list : {"add", "drop"}) {
    auto wrong = resolve_capabilities(parsed((std::string("{\"") + list + R"(":["NO_SUCH_CAP"]})").c_str()));
    ASSERT_FALSE(wrong.ok());
    EXPECT_EQ(wrong.error().message, std::string("unknown capability \"NO_SUCH_CAP\" to ") + list);
  }
}

TEST(AtomicWriter, SwitchesAllFilesAtOnce) {
  testing::TemporaryDirectory directory;
  std::string at = directory / "v";
  Time now(std::chrono::seconds(1'767'323'045));
  ASSERT_TRUE(write_atomically(at, {{"a", {"1"}}, {"d/b", {"2", 0400}}}, -1, now, 7).ok());
  EXPECT_EQ(read_file(at + "/a").value(), "1");
  EXPECT_EQ(read_file(at + "/d/b").value(), "2");
  struct stat s {};
  ASSERT_EQ(::stat((at + "/d/b").c_str(), &s), 0);
  EXPECT_EQ(s.st_mode & 0777, 0400u);
  char target[256];
  auto n = ::readlink((at + "/..data").c_str(), target, sizeof target);
  std::string first(target, static_cast<std::size_t>(n));
  ASSERT_TRUE(write_atomically(at, {{"a", {"1"}}, {"d/b", {"2", 0400}}}, -1, now + 1s, 8).ok());
  n = ::readlink((at + "/..data").c_str(), target, sizeof target);
  EXPECT_EQ(std::string(target, static_cast<std::size_t>(n)), first) << "nothing changed, nothing written";
  ASSERT_TRUE(write_atomically(at, {{"c", {"3"}}}, -1, now + 2s, 9).ok());
  EXPECT_EQ(read_file(at + "/c").value(), "3");
  EXPECT_EQ(list_directory(at).value().size(), 3u) << "..data, its directory and c";
  for (const char* bad : {"../x", "/abs", "a/../b", "..x", ""}) {
    EXPECT_FALSE(is_payload_path(bad)) << bad;
    EXPECT_FALSE(write_atomically(at, {{bad, {"x"}}}, -1, now, 1).ok());
  }
  EXPECT_EQ(read_file(at + "/c").value(), "3");
  ASSERT_EQ(::stat(at.c_str(), &s), 0);
  EXPECT_EQ(s.st_mode & 07777, 01777u);
  ASSERT_TRUE(write_atomically(at, {{"d/b", {"2", 0440}}}, 150, now + 3s, 10).ok());
  ASSERT_EQ(::stat((at + "/d").c_str(), &s), 0);
  EXPECT_EQ(s.st_gid, 150u);
  EXPECT_EQ(s.st_mode & 07777, 02755u) << "directories of the group hand it on";
  ASSERT_EQ(::stat((at + "/d/b").c_str(), &s), 0);
  EXPECT_EQ(s.st_gid, 150u);
}

TEST(Ownership, GivesAVolumeToAGroup) {
  testing::TemporaryDirectory directory;
  ASSERT_TRUE(make_directories(directory / "v/sub").ok());
  ASSERT_TRUE(write_file(directory / "v/sub/f", "x", 0600).ok());
  ASSERT_TRUE(write_file(directory / "outside", "x", 0600).ok());
  ASSERT_EQ(::symlink((directory / "outside").c_str(), (directory / "v/link").c_str()), 0);
  ASSERT_TRUE(apply_ownership(directory / "v", {150, false}).ok());
  struct stat s {};
  ASSERT_EQ(::stat((directory / "v/sub").c_str(), &s), 0);
  EXPECT_EQ(s.st_gid, 150u);
  EXPECT_TRUE(s.st_mode & S_ISGID);
  ASSERT_EQ(::stat((directory / "v/sub/f").c_str(), &s), 0);
  EXPECT_EQ(s.st_gid, 150u);
  EXPECT_EQ(s.st_mode & 0777, 0660u);
  ASSERT_EQ(::stat((directory / "outside").c_str(), &s), 0);
  EXPECT_EQ(s.st_gid, 0u) << "links are not followed";
  ASSERT_EQ(::chown((directory / "v/sub/f").c_str(), 0, 0), 0);
  ASSERT_TRUE(apply_ownership(directory / "v", {150, true}).ok());
  ASSERT_EQ(::stat((directory / "v/sub/f").c_str(), &s), 0);
  EXPECT_EQ(s.st_gid, 0u) << "the root is right already";
}

TEST(HostPath, IsCheckedOrMadeByItsType) {
  testing::TemporaryDirectory directory;
  std::string root = directory.path() + "/";
  ASSERT_TRUE(write_file(root + "file", "kept").ok());
  ASSERT_TRUE(make_directories(root + "directory").ok());
  auto words = [&](const std::string& name, const std::string& type) {
    Status ready = prepare_host_path(root + name, type);
    return ready.ok() ? "" : ready.error().message;
  };
  auto refusal = [&](const std::string& name, const std::string& what) {
    return "hostPath type check failed: " + root + name + " is not a " + what;
  };
  EXPECT_EQ(words("deep/down", ""), "");
  EXPECT_TRUE(path_exists(root + "deep/down"));
  EXPECT_EQ(words("file", ""), "");
  EXPECT_EQ(words("file", "File"), "");
  EXPECT_EQ(words("file", "FileOrCreate"), "");
  EXPECT_EQ(read_file(root + "file").value(), "kept");
  EXPECT_EQ(words("file", "Directory"), refusal("file", "directory"));
  EXPECT_EQ(words("file", "DirectoryOrCreate"), refusal("file", "directory"));
  EXPECT_EQ(words("directory", "FileOrCreate"), refusal("directory", "file"));
  EXPECT_EQ(words("absent", "Directory"), refusal("absent", "directory"));
  EXPECT_EQ(words("absent", "Socket"), refusal("absent", "socket"));
  EXPECT_FALSE(path_exists(root + "absent"));
  EXPECT_EQ(words("made", "DirectoryOrCreate"), "");
  EXPECT_EQ(words("made.txt", "FileOrCreate"), "");
  EXPECT_EQ(read_file(root + "made.txt").value(), "");
  EXPECT_EQ(words("file/below", "DirectoryOrCreate"),
            "hostPath type check failed: " + root + "file/below could not be created");
}

TEST(References, AreFoundEverywhere) {
  auto found = references_of(pod_of(
      R"({"volumes":[{"configMap":{"name":"a"}},{"secret":{"secretName":"b"}},{"projected":{"sources":[{"configMap":{"name":"c"}},{"secret":{"name":"d"}}]}}],
    "imagePullSecrets":[{"name":"e"}],"initContainers":[{"envFrom":[{"configMapRef":{"name":"f"}},{"secretRef":{"name":"g"}}]}],
    "containers":[{"env":[{"valueFrom":{"configMapKeyRef":{"name":"h"}}},{"valueFrom":{"secretKeyRef":{"name":"a"}}}]}]})"));
  EXPECT_EQ(found.size(), 9u);
  EXPECT_TRUE(found.contains({api::resources::kSecrets, api::Name{"shop", "a"}}));
}

// A pod, and all that a hook may ask for.
struct HookSurroundings {
  HookSurroundings(const char* spec, const std::string& directory)
      : pod{services, pod_of(spec), record, directory, {}, {}, {}, {}, {}, {}, {}, {}, {}} {}
  AgentConfig config;
  testing::ManualRuntime runtime;
  testing::FakeApi api{runtime};
  testing::FakeContainers containers{runtime};
  testing::FakeImages images{runtime};
  testing::FakeVolumes volumes{runtime, ""};
  testing::FakeNetwork network;
  testing::FakeProbes probes{runtime};
  ObjectCache objects{runtime, api};
  client::EventRecorder events{runtime, api, "kubelet"};
  Services services{config, runtime, api, containers, images, volumes, network, objects, events, probes};
  PodRecord record;
  PodContext pod;
};

TEST(ImageVolumes, TheRecordHasWhatIsMountedWhateverItsTagNamesLater) {
  if (!testing::enter_private_mounts()) GTEST_SKIP() << "no private mount namespace";
  testing::TemporaryDirectory directory;
  HookSurroundings around(R"({"volumes":[{"name":"v","image":{"reference":"files"}}]})", directory / "pod");
  ASSERT_TRUE(make_directories(directory / "layer").ok());
  around.images.add("files", {directory / "layer"});
  for (const char* id : {"sha256:files", "sha256:later"}) {  // an agent, and the one after it
    around.images.images["files"]->id = id;
    auto hook = make_image_volumes_hook();
    std::optional<std::optional<HookFailure>> prepared;
    hook->prepare(around.pod, [&prepared](std::optional<HookFailure> failure) { prepared = std::move(failure); });
    around.runtime.settle();
    ASSERT_TRUE(prepared && !*prepared);
    EXPECT_EQ(around.record.volume_images["v"], "sha256:files");
  }
  unmount(directory / "pod/images/v");
}

class SubPaths : public ::testing::Test {
 protected:
  // The container's mounts, and its sub-paths bound.
  Result<std::vector<Mount>> mounts(const char* container) {
    HookSurroundings around("{}", directory_ / "pod");
    around.pod.volumes["v"] = PodVolume{directory_ / "v", false};
    auto found = container_mounts(around.pod, parsed(container), {{"POD", "web-0"}}, directory_ / "message");
    if (!found.ok()) return found.error();
    BERTH_TRY(bind_sub_paths(found->sub_paths));
    return found->mounts;
  }
  SubPath sub_path(const std::string& path) { return SubPath{directory_ / "pod", directory_ / "v", path, "v", "c", 0}; }
  void SetUp() override {
    if (!testing::enter_private_mounts()) GTEST_SKIP() << "no private mount namespace";
    for (const char* name : {"v", "pod", "secret"}) ASSERT_TRUE(make_directories(directory_ / name).ok());
    ASSERT_TRUE(write_file(directory_ / "secret/file", "precious").ok());
  }
  void TearDown() override { unmount_below({directory_.path()}); }
  testing::TemporaryDirectory directory_;
};

TEST_F(SubPaths, AreMadeInsideTheVolume) {
  ASSERT_EQ(::chmod((directory_ / "v").c_str(), 02775), 0);
  auto made = mounts(
      R"x({"name":"c","volumeMounts":[{"name":"v","mountPath":"data","subPathExpr":"a/$(POD)","readOnly":true}]})x");
  ASSERT_TRUE(made.ok()) << made.error().message;
  EXPECT_EQ((*made)[0].source, directory_ / "pod/subpaths/v/c/0");
  EXPECT_EQ((*made)[0].target, "/data");
  EXPECT_TRUE((*made)[0].read_only);
  EXPECT_EQ(made->back().target, "/dev/termination-log");
  ASSERT_TRUE(write_file(directory_ / "v/a/web-0/f", "x").ok());
  EXPECT_TRUE(path_exists((*made)[0].source + "/f"));
  struct stat at {};
  ASSERT_EQ(::stat((directory_ / "v/a").c_str(), &at), 0);
  EXPECT_EQ(at.st_mode & 07777, 02775u) << "as the volume";
  EXPECT_FALSE(mounts(R"({"name":"c","volumeMounts":[{"name":"v","mountPath":"/d","subPath":"../up"}]})").ok());
  EXPECT_FALSE(mounts(R"({"name":"c","volumeMounts":[{"name":"none","mountPath":"/d"}]})").ok());
}

TEST_F(SubPaths, MayBeFilesAndAreMountedAfreshEachTime) {
  ASSERT_TRUE(write_file(directory_ / "v/file", "one").ok());
  ASSERT_TRUE(bind_sub_path(sub_path("file")).ok());
  EXPECT_EQ(read_file(directory_ / "pod/subpaths/v/c/0").value(), "one");
  ASSERT_TRUE(remove_all(directory_ / "v/file").ok());
  ASSERT_TRUE(make_directories(directory_ / "v/file/d").ok());
  ASSERT_TRUE(bind_sub_path(sub_path("file")).ok());
  EXPECT_TRUE(path_exists(directory_ / "pod/subpaths/v/c/0/d"));
  ASSERT_TRUE(bind_sub_path(sub_path("file/d")).ok());
  EXPECT_EQ(list_directory(directory_ / "pod/subpaths/v/c/0").value(), std::vector<std::string>{});
  unmount_below({directory_ / "pod"});
  EXPECT_FALSE(is_mount_point(directory_ / "pod/subpaths/v/c/0")) << "no mount was left under another";
}

TEST_F(SubPaths, ALinkInTheVolumeLeadsNowhereElse) {
  ASSERT_EQ(::symlink((directory_ / "secret").c_str(), (directory_ / "v/out").c_str()), 0);
  ASSERT_EQ(::symlink("../secret", (directory_ / "v/up").c_str()), 0);
  for (const char* name : {"out", "up", "out/new", "up/file"}) {
    auto bound = bind_sub_path(sub_path(name));
    ASSERT_FALSE(bound.ok()) << name;
    EXPECT_EQ(bound.error().message, "failed to prepare subPath for volumeMount \"v\" of container \"c\"");
  }
  EXPECT_EQ(list_directory(directory_ / "secret").value(), std::vector<std::string>{"file"});
  ASSERT_TRUE(make_directories(directory_ / "v/real").ok());
  ASSERT_EQ(::symlink("real", (directory_ / "v/inner").c_str()), 0);
  EXPECT_TRUE(bind_sub_path(sub_path("inner")).ok()) << "inside it leads where it says";
}

TEST_F(SubPaths, AreNeverOutsideHoweverFastTheVolumeChanges) {
  ASSERT_TRUE(make_directories(directory_ / "v/sub").ok());
  ASSERT_EQ(::symlink((directory_ / "secret").c_str(), (directory_ / "v/evil").c_str()), 0);
  berth::testing::Swapper swapper(directory_ / "v/sub", directory_ / "v/evil", 300);
  int bound = 0;
  while (swapper.more()) {
    (void)bind_sub_path(sub_path("sub/new/er"));
    if (!bind_sub_path(sub_path("sub")).ok()) continue;
    ++bound;
    ASSERT_FALSE(path_exists(directory_ / "pod/subpaths/v/c/0/file")) << "the node's directory";
  }
  EXPECT_GT(bound, 0);
  EXPECT_GE(swapper.swaps(), berth::testing::Swapper::kSwaps);
  EXPECT_EQ(list_directory(directory_ / "secret").value(), std::vector<std::string>{"file"});
}

TEST_F(SubPaths, OwnershipStaysInTheVolumeHoweverFastItChanges) {
  ASSERT_TRUE(make_directories(directory_ / "v/sub/a/b").ok());
  ASSERT_TRUE(write_file(directory_ / "v/sub/a/b/f", "x", 0600).ok());
  ASSERT_EQ(::symlink((directory_ / "secret").c_str(), (directory_ / "v/evil").c_str()), 0);
  struct stat before {
  }, after{};
  ASSERT_EQ(::stat((directory_ / "secret/file").c_str(), &before), 0);
  {
    berth::testing::Swapper swapper(directory_ / "v/sub", directory_ / "v/evil", 400);
    for (int i = 0; swapper.more(); ++i) ASSERT_TRUE(apply_ownership(directory_ / "v", {1000 + i % 2, false}).ok());
  }
  ASSERT_EQ(::stat((directory_ / "secret/file").c_str(), &after), 0);
  EXPECT_EQ(after.st_gid, before.st_gid);
  EXPECT_EQ(after.st_mode, before.st_mode);
  ASSERT_EQ(::stat((directory_ / "secret").c_str(), &after), 0);
  EXPECT_EQ(after.st_gid, before.st_gid);
}

TEST_F(SubPaths, AWriterOfFilesStaysInItsDirectory) {
  std::string at = directory_ / "v";
  Time now = Time(std::chrono::seconds(1'000'000));
  // Links that a container with the right to remount has put there.
  ASSERT_EQ(::symlink((directory_ / "secret").c_str(), (at + "/..data").c_str()), 0);
  ASSERT_EQ(::symlink((directory_ / "secret/file").c_str(), (at + "/a").c_str()), 0);
  ASSERT_TRUE(write_atomically(at, {{"a", {"1"}}, {"d/b", {"2", 0400, 5}}}, 7, now, 1).ok());
  EXPECT_EQ(read_file(at + "/a").value(), "1");
  ASSERT_EQ(::unlink((at + "/..data").c_str()), 0);
  ASSERT_EQ(::symlink("../secret", (at + "/..data").c_str()), 0);
  ASSERT_TRUE(write_atomically(at, {{"a", {"3"}}}, -1, now + 1s, 2).ok());
  EXPECT_EQ(read_file(at + "/a").value(), "3");
  EXPECT_EQ(read_file(directory_ / "secret/file").value(), "precious");
  EXPECT_EQ(list_directory(directory_ / "secret").value(), std::vector<std::string>{"file"});
}

}  // namespace
}  // namespace berth::agent
