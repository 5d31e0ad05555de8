#pragma once
// For tests of the agent: a clock that only moves when told, an API in memory, and fakes of everything an agent
// depends on.

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "agent/agent.h"
#include "agent/images/image_store.h"
#include "agent/pod/services.h"
#include "agent/runtime/container_runtime.h"
#include "base/runtime.h"
#include "client/client.h"
#include "net/pod_network.h"

namespace berth::agent::testing {

class ManualRuntime final : public Runtime {
 public:
  ~ManualRuntime() override;
  Time now() const override { return Time(std::chrono::seconds(1'767'323'045)) + moved_ + clock_; }
  Duration monotonic() const override { return clock_; }
  void post(Task task) override { ready_.push_back(std::move(task)); }
  TimerId after(Duration delay, Task task) override;
  void cancel(TimerId id) override;
  void offload(Task work, Task done) override;
  std::uint64_t random() override { return seed_ = seed_ * 6364136223846793005ull + 1442695040888963407ull; }

  void settle();                               // runs everything that is ready; time stands still
  void advance(Duration by);                   // settles, and fires what falls due on the way
  void suspend(Duration by) { moved_ += by; }  // the wall clock goes on, nothing else does
  std::size_t timers() const { return timers_.size(); }

 private:
  Duration clock_{}, moved_{};
  std::deque<Task> ready_;
  std::map<std::pair<Duration, TimerId>, Task> timers_;
  TimerId last_ = 0;
  std::uint64_t seed_ = 1;
};

// Enough of an API: objects by collection, revisions, watches with metadata.name and spec.nodeName selectors, strategic
// merge of conditions, graceful deletion of pods.
class FakeApi final : public client::Client {
 public:
  explicit FakeApi(Runtime& runtime) : runtime_(runtime) {}
  void get(const api::Resource& resource, const api::Name& name, Done done) override;
  void list(const api::Resource& resource, const api::ListOptions& options, ListDone done) override;
  std::unique_ptr<client::WatchHandle> watch(const api::Resource& resource, const api::ListOptions& options,
                                             std::string resource_version, client::WatchHandler* handler) override;
  void create(const api::Resource& resource, Value object, const api::WriteOptions& options, Done done) override;
  void create_sub(const api::Resource& resource, const api::Name& name, Value object, const api::WriteOptions& options,
                  Done done) override;
  void update(const api::Resource& resource, Value object, const api::WriteOptions& options, Done done) override;
  void patch(const api::Resource& resource, const api::Name& name, api::PatchType type, Value patch,
             const api::WriteOptions& options, Done done) override;
  void remove(const api::Resource& resource, const api::Name& name, const api::DeleteOptions& options,
              Done done) override;

  // What a user or controller does, at once.
  Value put(const api::Resource& resource, Value object);
  void erase(const api::Resource& resource, const api::Name& name);
  void delete_pod(const api::Name& name, int grace_seconds);
  void cut_watches();  // all end, as when the server does
  Value object(const api::Resource& resource, const api::Name& name) const;

  std::function<Status(Value& pod)> admit_pod;  // may change or refuse what a patch makes of a pod
  std::vector<Value> pod_patches;               // in order, as sent
  std::vector<std::string> events;              // "Normal Pulled web-0: text"
  int writes = 0;
  int tokens = 0;     // handed out
  bool down = false;  // every call answers kUnavailable
  int conflicts = 0;  // so many updates are refused next
  std::function<void(const api::Resource&, const std::string& type, const Value&)> on_change;  // of each object

 private:
  struct Watch;
  struct Change {
    std::int64_t revision;
    std::string type;
    api::Resource resource;
    Value object;
  };
  void changed(const std::string& type, const api::Resource& resource, const Value& object);
  static bool selected(const api::ListOptions& options, const Value& object);
  void end_watch(Watch& watch);
  template <class T>
  bool refuse(T& done);
  Runtime& runtime_;
  std::map<api::Resource, std::map<api::Name, Value>> objects_;
  std::set<Watch*> watches_;
  std::vector<Change> history_;
  std::int64_t revision_ = 100;
};

// Containers that run until a test says otherwise.
class FakeContainers final : public ContainerRuntime {
 public:
  explicit FakeContainers(Runtime& runtime) : runtime_(runtime) {}
  void recover(Function<void(Result<std::vector<ContainerStatus>>)> done) override;
  void on_change(std::function<void(const ContainerStatus&)> changed) override { changed_ = std::move(changed); }
  void create_sandbox(const SandboxSpec& spec, Done done) override;
  void remove_sandbox(const std::string& uid, Done done) override;
  void run_container(const ContainerSpec& spec, Function<void(Result<ContainerStatus>)> done) override;
  void signal_container(const std::string& id, int signal, Done done) override;
  void kill_container(const std::string& id, Done done) override;
  void remove_container(const std::string& id, Done done) override;
  std::optional<ContainerStatus> status(const std::string& id) const override;
  void resize(const std::string& pod_uid, PodResize order, Function<void(std::size_t, Status)> done) override;
  std::string resize_error;  // where not empty, the next resize fails so
  void exec(const std::string&, std::vector<std::string>, Duration, Function<void(Result<ExecResult>)> done) override {
    done(exec_answer);
  }
  Result<ExecResult> exec_answer = ExecResult{};
  void exec_interactive(const std::string&, const ExecOptions&, Function<void(Result<ExecStreams>)>,
                        Function<void(int)>) override {}
  std::string attach_socket(const std::string&) const override { return {}; }
  void resize_terminal(const std::string&, int, int, Done done) override { done({}); }
  void reopen_log(const std::string&, Done done) override { done({}); }
  std::optional<ContainerUsage> usage(const std::string&) const override { return used; }
  std::optional<ContainerUsage> used;
  std::set<std::string> found_sandboxes() const override { return sandboxes; }
  std::string writable_layer(const std::string& id) const override {
    return layers.empty() ? layers : layers + "/" + id;
  }
  std::string layers;  // where not empty, the directory of their writable layers

  void exit(const std::string& container, int code, bool oom = false);  // the running one of that name
  std::string id_of(const std::string& container) const;                // running; empty where none
  std::vector<std::string> running() const;                             // names, sorted

  std::vector<std::string> log;  // "run c", "signal c 15", "kill c", "remove c", "sandbox web-0", ...
  std::vector<ContainerSpec> specs;
  std::set<std::string> ignores_term;  // containers by name; others exit with 143 at SIGTERM
  std::set<std::string> ignores_kill;  // as if the kernel had not got to it yet
  bool hold_runs = false;              // runs are not answered before release_runs()
  void release_runs();
  std::vector<std::function<void()>> held_runs;
  std::string run_error;  // where not empty, the next run fails so
  std::set<std::string> sandboxes;

 private:
  void end(const std::string& id, int code, bool oom);
  Runtime& runtime_;
  std::function<void(const ContainerStatus&)> changed_;
  std::map<std::string, ContainerStatus> containers_;
};

class FakeImages final : public ImageStore {
 public:
  explicit FakeImages(Runtime& runtime) : runtime_(runtime) {}
  std::shared_ptr<const Image> find(std::string_view reference) const override;
  std::vector<std::shared_ptr<const Image>> list() const override { return {}; }
  void pull(const std::string& reference, const std::vector<PullCredentials>& credentials,
            Function<void(Result<std::shared_ptr<const Image>>)> done) override;
  void import(const std::string&, const std::string&,
              Function<void(Result<std::vector<std::shared_ptr<const Image>>>)>) override {}
  void remove(const std::string&, Function<void(Status)>) override {}
  void collect(std::vector<std::string>, std::int64_t, Function<void(Result<std::int64_t>)> done) override {
    ++collected;
    done(0);
  }
  int collected = 0;  // how often unused images were to be removed
  void touch(const std::string&) override {}
  std::shared_ptr<Image> add(const std::string& name, std::vector<std::string> layers = {});
  std::map<std::string, std::shared_ptr<Image>> images;
  std::map<std::string, std::string> pull_errors;  // by reference; others are pulled
  std::vector<PullCredentials> credentials;

 private:
  Runtime& runtime_;
};

class FakeVolumes final : public VolumeProvider {
 public:
  explicit FakeVolumes(Runtime& runtime, std::string root) : runtime_(runtime), root_(std::move(root)) {}
  void acquire(const Value& volume, const std::string& uid, Function<void(Result<std::string>)> done) override;
  void release(const std::string& name, const std::string& uid, Function<void(Status)> done) override;
  void adopt(const std::string& name, const std::string& uid) override { users[name].insert(uid); }
  void find_stopped(Function<void(std::vector<Stopped>)> done) override { done(stopped); }
  std::vector<std::string> growing_files(const std::string& uid) const override {
    auto found = growing.find(uid);
    return found == growing.end() ? std::vector<std::string>() : std::vector{found->second};
  }
  std::map<std::string, std::set<std::string>> users;
  std::string failure;
  std::vector<Stopped> stopped;
  std::map<std::string, std::string> growing;  // a file by the pod's uid

 private:
  Runtime& runtime_;
  std::string root_;
};

class FakeNetwork final : public net::PodNetwork {
 public:
  Status prepare() override { return {}; }
  Result<net::PodAddress> lease(const std::string& uid) override;
  Status keep(const std::string& uid, const std::string& ip) override {
    addresses[uid] = ip;
    return {};
  }
  Status connect(const std::string& uid, const net::PodAddress& address, const std::string& users) override;
  Status disconnect(const std::string& uid) override;
  Status release(const std::string& uid) override;
  Status recover(const std::vector<std::string>&) override { return {}; }
  std::vector<std::pair<std::string, std::string>> leases() const override { return {}; }
  std::map<std::string, std::string> addresses;
  std::string directory;  // where not empty, real namespaces are pinned here

 private:
  int next_ = 2;
};

class FakeProbes final : public ProbeRunner {
 public:
  explicit FakeProbes(Runtime& runtime) : runtime_(runtime) {}
  void run(const Value& action, const ProbeTarget& target, Duration timeout, Function<void(ProbeResult)> done) override;
  // By the first word of exec.command, or the path of httpGet. Unknown ones succeed.
  std::map<std::string, bool> results;
  std::set<std::string> broken;    // cannot be carried out
  std::set<std::string> hanging;   // never answer
  std::set<std::string> warning;   // succeed with a warning
  std::set<std::string> refusing;  // fail because nobody listens
  Duration takes{};                // each of them
  std::vector<std::string> log;

 private:
  Runtime& runtime_;
};

}  // namespace berth::agent::testing
