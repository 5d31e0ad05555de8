// hosts, resolv.conf and hostname: written once for a pod and bind-mounted into its containers under /etc.

#include <algorithm>

#include "agent/dns/resolver.h"
#include "agent/hooks/hooks.h"
#include "agent/mounts/mounts.h"
#include "api/object.h"
#include "base/files.h"
#include "base/text.h"

namespace berth::agent {

std::string hosts_content(const Value& pod, const std::string& ip, const std::string& hostname,
                          const std::string& fqdn) {
  std::string out =
      "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\n"
      "fe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n";
  out += ip + "\t" + (fqdn.empty() ? "" : fqdn + "\t") + hostname + "\n";
  const Value& aliases = pod["spec"]["hostAliases"];
  if (!aliases.empty()) out += "\n# Entries added by HostAliases.\n";
  for (const Value& alias : aliases) {
    out += alias["ip"].str();
    for (const Value& name : alias["hostnames"]) out += "\t" + name.str();
    out += "\n";
  }
  return out;
}

std::string resolver_content(const Value& pod, const ResolverSettings& settings) {
  const Value& spec = pod["spec"];
  std::string policy = spec["dnsPolicy"].str("ClusterFirst");
  bool host_network = spec["hostNetwork"].as_bool();
  bool cluster = policy == "ClusterFirstWithHostNet" || (policy == "ClusterFirst" && !host_network);
  std::vector<std::string> servers, searches, options;
  if (cluster) {
    std::string ns(api::namespace_of(pod));
    servers = {settings.cluster_dns};
    searches = {ns + ".svc." + settings.cluster_domain, "svc." + settings.cluster_domain, settings.cluster_domain};
    options = {"ndots:5"};
  }
  if (policy != "None") {
    for (auto line : split(settings.node_resolver, '\n')) {
      auto words = split(trim(line), ' ');
      if (words.size() < 2) continue;
      for (std::size_t i = 1; i < words.size(); ++i) {
        std::string word(trim(words[i]));
        if (word.empty()) continue;
        if (words[0] == "nameserver" && !cluster) servers.push_back(word);
        if (words[0] == "search") searches.push_back(word);
        if (words[0] == "options" && !cluster) options.push_back(word);
      }
    }
  }
  const Value& extra = spec["dnsConfig"];
  for (const Value& server : extra["nameservers"]) servers.push_back(server.str());
  for (const Value& search : extra["searches"]) searches.push_back(search.str());
  for (const Value& option : extra["options"]) {
    std::string name = option["name"].str();
    std::string text =
        option["value"].is_string() && !option["value"].as_string().empty() ? name + ":" + option["value"].str() : name;
    // An option of the pod replaces one of the same name.
    std::erase_if(options, [&](const std::string& one) { return one == name || one.starts_with(name + ":"); });
    options.push_back(text);
  }
  auto keep_first = [](std::vector<std::string>& list) {
    std::vector<std::string> out;
    for (auto& one : list) {
      if (std::find(out.begin(), out.end(), one) == out.end()) out.push_back(std::move(one));
    }
    list = std::move(out);
  };
  keep_first(servers);
  keep_first(searches);
  std::string out;
  if (!searches.empty()) out += "search " + join(searches, " ") + "\n";
  for (const auto& server : servers) out += "nameserver " + server + "\n";
  if (!options.empty()) out += "options " + join(options, " ") + "\n";
  return out;
}

namespace {

constexpr std::size_t kRoomForWriters = 1 << 20;

class EtcFiles final : public PodHook {
 public:
  std::string_view name() const override { return "etc files"; }

  void prepare(PodContext& pod, HookDone done) override {
    const std::string place = written_files(pod.memory);
    pod.hosts_file = place + "/hosts";
    pod.resolv_file = place + "/resolv.conf";
    pod.hostname_file = place + "/hostname";
    if (uses_host_network(pod.pod)) pod.hostname_file.clear();
    // Containers may have written to these files, and their mounts hold the inodes: never write them again.
    if (path_exists(pod.hosts_file)) return done(std::nullopt);
    const AgentConfig& config = pod.services.config;
    ResolverSettings settings{config.cluster_dns, config.cluster_domain, ""};
    if (!config.resolver_file.empty()) {
      if (auto text = read_file(config.resolver_file); text.ok()) settings.node_resolver = *text;
    }
    std::vector<File> files{{pod.resolv_file, resolver_content(pod.pod, settings)}};
    if (!pod.hostname_file.empty()) files.push_back({pod.hostname_file, pod.hostname + "\n"});
    files.push_back({pod.hosts_file, hosts(pod)});
    blocking(
        pod.services.runtime, [place, files = std::move(files)] { return make(place, files); },
        [done = std::move(done)](Status made) {
          if (!made.ok())
            return done(HookFailure{"FailedCreatePodSandBox", "Failed to create pod sandbox: " + made.error().message});
          done(std::nullopt);
        });
  }

 private:
  struct File {
    std::string path, content;
  };

  static Status make(const std::string& place, const std::vector<File>& files) {
    BERTH_TRY(make_directories(place, 0711));
    std::size_t size = kRoomForWriters;
    for (const File& file : files)
      size += 2 * file.content.size();  // twice: each file is written under another name and renamed
    // An earlier attempt may have mounted it and failed afterwards.
    if (!is_mount_point(place)) BERTH_TRY(mount_tmpfs(place, "mode=0711,size=" + std::to_string(size)));
    for (const File& file : files) BERTH_TRY(write_file(file.path, file.content, 0644));
    return {};
  }

  static std::string hosts(const PodContext& pod) {
    if (!uses_host_network(pod.pod)) return hosts_content(pod.pod, pod.record.ip, pod.hostname, pod.fqdn);
    auto own = read_file("/etc/hosts");
    std::string out = "# Kubernetes-managed hosts file (host network).\n" + (own.ok() ? *own : "");
    std::string all = hosts_content(pod.pod, "", "", "");
    if (auto aliases = all.find("\n# Entries added"); aliases != std::string::npos) out += all.substr(aliases);
    return out;
  }
};

}  // namespace

std::unique_ptr<PodHook> make_etc_files_hook() { return std::make_unique<EtcFiles>(); }

}  // namespace berth::agent
