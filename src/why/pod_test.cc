// Every step of a pod, from its node to its readiness gates.
#include "why/render.h"
#include "why/test_world.h"

namespace berth::why {
namespace {

using namespace api::resources;  // NOLINT
using Damage = void (*)(World& world);

struct Case {
  const char* name;
  Damage damage;       // the damage to the ready pod web-0
  const char* object;  // of the line that explains the wait
  Severity severity;
  const char* state;
  const char* why;   // a part of it
  const char* hint;  // a part of it; "" for none
  const char* since = nullptr;
};

void PrintTo(const Case& one, std::ostream* out) { *out << one.name; }

Value& status_of(World& world) { return world.pod("web-0").mut("status").mut("containerStatuses").mut(std::size_t{0}); }
Value& container(World& world) { return world.pod("web-0").mut("spec").mut("containers").mut(std::size_t{0}); }
void set_state(World& world, std::string_view state, bool started = false) {
  world.unready("web-0");
  status_of(world).set("ready", false).set("started", started).set("state", from(state));
}
void running_unready(World& world, bool started) {
  set_state(world, R"({"running":{"startedAt":"2026-01-02T03:00:05Z"}})", started);
}

// Adds an init container "prepare" before the others.
void with_init(World& world, std::string_view state, bool sidecar = false) {
  world.unready("web-0", "containers with incomplete status: [prepare]");
  Value& pod = world.pod("web-0");
  pod.mut("spec").set(
      "initContainers",
      from(sidecar ? R"([{"name":"prepare","image":"i","restartPolicy":"Always"},{"name":"second","image":"i"}])"
                   : R"([{"name":"prepare","image":"i"},{"name":"second","image":"i"}])"));
  Value status = from(R"({"name":"prepare","ready":false,"started":false,"restartCount":2})");
  status.set("state", from(state));
  pod.mut("status").set("initContainerStatuses", Value::array({status}));
  pod.mut("status").mut("conditions").mut(std::size_t{1}).set("status", "False");
  status_of(world).set("ready", false).set("state", from(R"({"waiting":{"reason":"PodInitializing"}})"));
}

void pending_claim(World& world) {
  world.with_claim("web-0");
  world.unscheduled("web-0",
                    "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. preemption: 0/1");
  world.claim("data").mut("spec").erase("volumeName");
  world.claim("data").mut("status").set("phase", "Pending");
}

const Case kCases[] = {
    // --- The container
    {"crash loop",
     [](World& w) {
       w.event(w.pod("web-0"), "Warning", "BackOff", "Back-off restarting failed container db", "spec.containers{db}");
       set_state(
           w,
           R"({"waiting":{"reason":"CrashLoopBackOff","message":"back-off 1m20s restarting failed container=db pod=web-0_default"}})");
       status_of(w).set("restartCount", 4).set("lastState", from(R"({"terminated":{"exitCode":1,"reason":"Error",
         "startedAt":"2026-01-02T03:03:25Z","finishedAt":"2026-01-02T03:03:35Z"}})"));
     },
     "container db", Severity::kBroken, "CrashLoopBackOff",
     "30s ago it ended with exit code 1, having run for 10s; 4 restarts so far, the next in 50s",
     "kubectl logs web-0 -c db --previous", "2026-01-02T03:01:05Z"},
    {"crash loop whose time is up",
     [](World& w) {
       set_state(
           w, R"({"waiting":{"reason":"CrashLoopBackOff","message":"back-off 10s restarting failed container=db"}})");
       status_of(w)
           .set("restartCount", 1)
           .set("lastState",
                from(R"({"terminated":{"exitCode":143,"reason":"Error","finishedAt":"2026-01-02T03:03:35Z"}})"));
     },
     "container db", Severity::kBroken, "CrashLoopBackOff",
     "30s ago it ended with exit code 143 (SIGTERM); 1 restart so far, the next any moment", "--previous"},
    {"out of memory",
     [](World& w) {
       set_state(
           w, R"({"waiting":{"reason":"CrashLoopBackOff","message":"back-off 10s restarting failed container=db"}})");
       container(w).set("resources", from(R"({"limits":{"memory":"64Mi"}})"));
       status_of(w)
           .set("restartCount", 1)
           .set("lastState",
                from(R"({"terminated":{"exitCode":137,"reason":"OOMKilled","finishedAt":"2026-01-02T03:04:00Z"}})"));
     },
     "container db", Severity::kBroken, "CrashLoopBackOff",
     "5s ago it was killed for using more memory than its limit of 64Mi (OOMKilled); 1 restart",
     "raise resources.limits.memory"},
    {"a program that is not there",
     [](World& w) {
       set_state(
           w, R"({"waiting":{"reason":"CrashLoopBackOff","message":"back-off 10s restarting failed container=db"}})");
       status_of(w).set(
           "lastState",
           from(
               R"({"terminated":{"exitCode":128,"reason":"StartError","message":"exec: \"nope\": executable file not found in $PATH"}})"));
     },
     "container db", Severity::kBroken, "CrashLoopBackOff", "could not be started: exec: \"nope\"",
     "check command and args"},
    {"last words",
     [](World& w) {
       set_state(
           w, R"({"waiting":{"reason":"CrashLoopBackOff","message":"back-off 10s restarting failed container=db"}})");
       status_of(w).set("lastState",
                        from(R"({"terminated":{"exitCode":2,"reason":"Error","message":"disk is full.\n"}})"));
     },
     "container db", Severity::kBroken, "CrashLoopBackOff", "exit code 2; its last words: disk is full;", "--previous"},
    {"not ready for a reason that is nobody's", [](World& w) { w.unready("web-0", "somebody said so."); }, "pod/web-0",
     Severity::kWaiting, "Running, not ready", "somebody said so", "", "2026-01-02T03:01:05Z"},
    {"image that cannot be pulled",
     [](World& w) {
       set_state(
           w,
           R"({"waiting":{"reason":"ImagePullBackOff","message":"Back-off pulling image \"db:1\": ErrImagePull: manifest unknown"}})");
       w.event(w.pod("web-0"), "Warning", "Failed", "Failed to pull image", "spec.containers{db}");
     },
     "container db", Severity::kBroken, "ImagePullBackOff", "its image db:1 is not here: manifest unknown",
     "berth image import FILE --reference db:1", "2026-01-02T03:01:05Z"},
    {"image that may not be pulled",
     [](World& w) {
       set_state(w, R"({"waiting":{"reason":"ErrImageNeverPull","message":"not present with pull policy of Never"}})");
     },
     "container db", Severity::kBroken, "ErrImageNeverPull", "not present with pull policy of Never",
     "berth image import"},
    {"image name that is none",
     [](World& w) {
       set_state(w, R"({"waiting":{"reason":"InvalidImageName","message":"invalid reference format"}})");
     },
     "container db", Severity::kBroken, "InvalidImageName",
     "its image db:1 has no valid name: invalid reference format", "correct the name"},
    {"missing config map",
     [](World& w) {
       set_state(w, R"({"waiting":{"reason":"CreateContainerConfigError","message":"configmap \"m\" not found"}})");
     },
     "container db", Severity::kBroken, "CreateContainerConfigError", "configmap \"m\" not found",
     "create what is missing"},
    {"image being pulled",
     [](World& w) {
       set_state(w, R"({"waiting":{"reason":"ContainerCreating"}})");
       w.event(w.pod("web-0"), "Normal", "Pulling", "Pulling image", "spec.containers{db}", "2026-01-02T03:03:05Z");
     },
     "container db", Severity::kWaiting, "ContainerCreating", "its image db:1 is being pulled", "",
     "2026-01-02T03:03:05Z"},
    {"being made", [](World& w) { set_state(w, R"({"waiting":{"reason":"ContainerCreating"}})"); }, "container db",
     Severity::kWaiting, "ContainerCreating", "the node is making it", ""},
    {"failing readiness probe",
     [](World& w) {
       running_unready(w, true);
       container(w).set("readinessProbe", from(R"({"httpGet":{"path":"/ready","port":8080}})"));
       w.event(w.pod("web-0"), "Warning", "Unhealthy", "Liveness probe failed: other", "spec.containers{db}",
               "2026-01-02T03:04:04Z");
       w.event(w.pod("web-0"), "Warning", "Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503",
               "spec.containers{db}");
     },
     "container db", Severity::kBroken, "running, not ready",
     "its readiness probe (GET :8080/ready) fails: HTTP probe failed with statuscode: 503 (last 5s ago)",
     "kubectl logs web-0 -c db", "2026-01-02T03:00:05Z"},
    {"readiness probe that has not been heard of",
     [](World& w) {
       running_unready(w, true);
       container(w).set("readinessProbe", from(R"({"exec":{"command":["cat","/ready"]}})"));
     },
     "container db", Severity::kWaiting, "running, not ready",
     "its readiness probe (the command `cat /ready`) has not passed yet", "kubectl logs"},
    {"failing startup probe",
     [](World& w) {
       running_unready(w, false);
       container(w).set("startupProbe", from(R"({"tcpSocket":{"port":"sql"}})"));
       w.event(w.pod("web-0"), "Warning", "Unhealthy", "Startup probe failed: dial tcp: connection refused",
               "spec.containers{db}");
     },
     "container db", Severity::kBroken, "running, not started",
     "its startup probe (connecting to port sql) fails: dial tcp: connection refused", "kubectl logs"},
    {"postStart hook at work",
     [](World& w) {
       running_unready(w, false);
       container(w).set("lifecycle", from(R"({"postStart":{"exec":{"command":["x"]}}})"));
     },
     "container db", Severity::kWaiting, "running, not started", "its postStart hook has not ended yet", ""},
    // --- Init containers
    {"init container at work", [](World& w) { with_init(w, R"({"running":{"startedAt":"2026-01-02T03:00:05Z"}})"); },
     "init container prepare", Severity::kWaiting, "running", "those after it start when it has ended",
     "kubectl logs web-0 -c prepare"},
    {"init container that fails",
     [](World& w) {
       with_init(
           w,
           R"({"waiting":{"reason":"CrashLoopBackOff","message":"back-off 20s restarting failed container=prepare"}})");
       w.pod("web-0")
           .mut("status")
           .mut("initContainerStatuses")
           .mut(std::size_t{0})
           .set("lastState", from(R"({"terminated":{"exitCode":3,
         "finishedAt":"2026-01-02T03:04:00Z"}})"));
     },
     "init container prepare", Severity::kBroken, "CrashLoopBackOff",
     "5s ago it ended with exit code 3; 2 restarts so far, the next in 15s",
     "kubectl logs web-0 -c prepare --previous"},
    {"the second init container",
     [](World& w) {
       with_init(w, R"({"terminated":{"exitCode":0,"reason":"Completed","finishedAt":"2026-01-02T03:00:05Z"}})");
     },
     "init container second", Severity::kWaiting, "ContainerCreating", "the node is making it", ""},
    {"sidecar that has not started",
     [](World& w) { with_init(w, R"({"running":{"startedAt":"2026-01-02T03:00:05Z"}})", true); }, "sidecar prepare",
     Severity::kWaiting, "running, not started", "it has only just started", ""},
    // --- Preparation, gates, agent
    {"volume that cannot be mounted",
     [](World& w) {
       set_state(w, R"({"waiting":{"reason":"ContainerCreating"}})");
       w.pod("web-0").mut("status").mut("conditions").mut(std::size_t{0}).set("status", "False");
       w.event(w.pod("web-0"), "Warning", "FailedMount",
               "MountVolume.SetUp failed for volume \"c\" : configmap \"m\" not found", "", "2026-01-02T03:04:00Z",
               "2026-01-02T03:01:05Z", 7);
     },
     "preparation", Severity::kBroken, "FailedMount", "configmap \"m\" not found (7 times, last 5s ago)",
     "kubectl describe pod web-0", "2026-01-02T03:01:05Z"},
    {"readiness gate",
     [](World& w) {
       w.unready("web-0", "corresponding condition of pod readiness gate \"example.com/lb\" does not exist.");
       w.pod("web-0").mut("spec").set("readinessGates", from(R"([{"conditionType":"example.com/lb"}])"));
     },
     "readiness gate example.com/lb", Severity::kWaiting, "not set",
     "has to set the pod's condition example.com/lb to True", ".status.conditions"},
    {"readiness gate that says no",
     [](World& w) {
       w.unready("web-0", "gate");
       w.pod("web-0").mut("spec").set("readinessGates", from(R"([{"conditionType":"example.com/lb"}])"));
       w.pod("web-0")
           .mut("status")
           .mut("conditions")
           .push(from(R"({"type":"example.com/lb","status":"False","message":"no target yet."})"));
     },
     "readiness gate example.com/lb", Severity::kWaiting, "False", "it says: no target yet", ".status.conditions"},
    {"an agent that has not spoken",
     [](World& w) {
       w.pod("web-0").set("status",
                          from(R"({"phase":"Pending","conditions":[{"type":"PodScheduled","status":"True"}]})"));
     },
     "container db", Severity::kWaiting, "ContainerCreating", "the node is making it", ""},
    // --- Node
    {"node that is gone", [](World& w) { w.erase(kNodes, "n1", ""); }, "node/n1", Severity::kBroken, "does not exist",
     "there is no such node any more", "kubectl delete pod web-0 --grace-period=0 --force"},
    {"node that is not ready",
     [](World& w) {
       w.node("n1").mut("status").set("conditions",
                                      from(R"([{"type":"Ready","status":"False","message":"container runtime is down",
       "lastTransitionTime":"2026-01-02T03:03:05Z"}])"));
     },
     "node/n1", Severity::kBroken, "not ready", "container runtime is down; its agent was last heard of 5s ago",
     "berth status", "2026-01-02T03:03:05Z"},
    {"node that nobody hears of",
     [](World& w) {
       w.node("n1").mut("status").set(
           "conditions",
           from(R"([{"type":"Ready","status":"Unknown","message":"Kubelet stopped posting node status."}])"));
     },
     "node/n1", Severity::kBroken, "unreachable", "Kubelet stopped posting node status;", "berth status"},
    {"node that is unknown and whose lease is old",
     [](World& w) {
       w.at(kLeases, "n1", "kube-node-lease").mut("spec").set("renewTime", "2026-01-02T03:03:05.000000Z");
       w.node("n1").mut("status").set(
           "conditions", from(R"([{"type":"Ready","status":"Unknown","message":"Kubelet stopped posting node status.",
         "lastTransitionTime":"2026-01-02T03:03:55Z"}])"));
     },
     "node/n1", Severity::kBroken, "silent", "Kubelet stopped posting node status; its agent was last heard of 60s ago",
     "berth status", "2026-01-02T03:03:05Z"},
    {"node that is not ready and whose lease is old",
     [](World& w) {
       w.at(kLeases, "n1", "kube-node-lease").mut("spec").set("renewTime", "2026-01-02T03:03:05.000000Z");
       w.node("n1").mut("status").set("conditions",
                                      from(R"([{"type":"Ready","status":"False","message":"container runtime is down"},
         {"type":"DiskPressure","status":"True"}])"));
     },
     "node/n1", Severity::kBroken, "silent, DiskPressure",
     "container runtime is down; its agent was last heard of 60s ago", "berth status", "2026-01-02T03:03:05Z"},
    // --- Deletion
    {"deletion under way",
     [](World& w) {
       w.pod("web-0")
           .mut("metadata")
           .set("deletionTimestamp", "2026-01-02T03:04:25Z")
           .set("deletionGracePeriodSeconds", 30);
     },
     "deletion", Severity::kWaiting, "under way", "db has 30s to end; that is up in 20s", "", "2026-01-02T03:03:55Z"},
    {"deletion that takes too long",
     [](World& w) {
       w.pod("web-0")
           .mut("metadata")
           .set("deletionTimestamp", "2026-01-02T03:01:05Z")
           .set("deletionGracePeriodSeconds", 30);
     },
     "deletion", Severity::kBroken, "under way", "db has 30s to end; that was up 3m ago", "--force"},
    {"deletion held by a finalizer",
     [](World& w) {
       w.pod("web-0")
           .mut("metadata")
           .set("deletionTimestamp", "2026-01-02T03:01:05Z")
           .set("finalizers", from(R"(["example.com/keep"])"));
       set_state(w, R"({"terminated":{"exitCode":0,"reason":"Completed"}})");
     },
     "deletion", Severity::kBroken, "under way",
     "all its containers have ended; it stays until whoever put the finalizer example.com/keep there removes it",
     "finalizers"},
    {"deletion whose rest is being cleaned up",
     [](World& w) {
       w.pod("web-0").mut("metadata").set("deletionTimestamp", "2026-01-02T03:04:00Z");
       set_state(w, R"({"terminated":{"exitCode":137,"reason":"Error"}})");
     },
     "deletion", Severity::kWaiting, "under way", "its volumes and its network are being given back", ""},
    {"deletion of a failed pod",
     [](World& w) {
       w.pod("web-0")
           .mut("metadata")
           .set("deletionTimestamp", "2026-01-02T03:04:00Z")
           .set("finalizers", from(R"(["example.com/keep"])"));
       w.pod("web-0").mut("status").set("phase", "Failed");
       set_state(w, R"({"terminated":{"exitCode":137,"reason":"Error"}})");
     },
     "deletion", Severity::kBroken, "under way",
     "stays until whoever put the finalizer example.com/keep there removes it", "finalizers"},
    // --- Failed for good
    {"evicted pod",
     [](World& w) {
       w.pod("web-0")
           .mut("status")
           .set("phase", "Failed")
           .set("reason", "Evicted")
           .set("message", "The node was low on memory.");
       w.pod("web-0").mut("status").erase("containerStatuses");
       w.pod("web-0").mut("spec").set("containers", Value::array({}));
     },
     "pod/web-0", Severity::kBroken, "Failed (Evicted)", "The node was low on memory; nobody makes another one",
     "kubectl delete pod web-0"},
    {"pod that ended badly",
     [](World& w) {
       w.pod("web-0").mut("status").set("phase", "Failed");
       set_state(w, R"({"terminated":{"exitCode":4,"reason":"Error","finishedAt":"2026-01-02T03:04:00Z"}})");
       w.pod("web-0")
           .mut("metadata")
           .set("ownerReferences", from(R"([{"controller":true,"kind":"Job","name":"j","uid":"u"}])"));
     },
     "container db", Severity::kBroken, "Error", "5s ago it ended with exit code 4", "kubectl logs web-0 -c db"},
    // --- Scheduling
    {"too little cpu",
     [](World& w) {
       w.unscheduled(
           "web-0",
           "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: 0/1 nodes are available: 1 No");
       container(w).set("resources", from(R"({"requests":{"cpu":"64"}})"));
     },
     "scheduling", Severity::kBroken, "Unschedulable",
     "it asks for 64 cpu, and no node has that much left; the scheduler says: 0/1 nodes are available: 1 Insufficient cpu",
     "resources.requests.cpu", "2026-01-02T03:03:05Z"},
    {"cordoned node",
     [](World& w) {
       w.unscheduled("web-0", "0/1 nodes are available: 1 node(s) were unschedulable. preemption: x");
       w.node("n1").mut("spec").set("unschedulable", true);
     },
     "node/n1", Severity::kWaiting, "Ready, cordoned", "it is cordoned, so no new pods go there",
     "kubectl uncordon n1"},
    {"cordoned node that is not ready either",
     [](World& w) {
       w.unscheduled("web-0", "0/1 nodes are available: 1 node(s) were unschedulable. preemption: x");
       w.node("n1").mut("spec").set("unschedulable", true);
       w.node("n1").mut("status").set("conditions", from(R"([{"type":"Ready","status":"False","message":"no disk"}])"));
     },
     "node/n1", Severity::kBroken, "not ready, cordoned", "no disk; its agent was last heard of 5s ago; it is cordoned",
     "berth status"},
    {"a node that was cordoned later than it was Ready",
     [](World& w) {
       w.unscheduled("web-0", "0/1 nodes are available: 1 node(s) were unschedulable. preemption: x");
       w.node("n1").mut("spec").set("unschedulable", true);
       w.node("n1")
           .mut("metadata")
           .set("managedFields",
                from(R"([{"time":"2026-01-02T03:04:03Z","fieldsV1":{"f:spec":{"f:unschedulable":{}}}}])"));
     },
     "node/n1", Severity::kWaiting, "Ready, cordoned", "it is cordoned, so no new pods go there", "kubectl uncordon n1",
     "2026-01-02T03:04:03Z"},
    {"a resize that is deferred",
     [](World& w) {
       w.ready_pod("web-0")
           .mut("status")
           .mut("conditions")
           .push(from(
               R"({"type":"PodResizePending","status":"True","reason":"Deferred","message":"Node didn't have enough resource: cpu","lastTransitionTime":"2026-01-02T03:04:00Z"})"));
     },
     "resize", Severity::kWaiting, "Deferred", "Node didn't have enough resource: cpu", "--subresource=resize",
     "2026-01-02T03:04:00Z"},
    {"a resize that the node can never hold",
     [](World& w) {
       w.ready_pod("web-0")
           .mut("status")
           .mut("conditions")
           .push(from(
               R"({"type":"PodResizePending","status":"True","reason":"Infeasible","message":"too large","lastTransitionTime":"2026-01-02T03:04:00Z"})"));
     },
     "resize", Severity::kBroken, "Infeasible", "too large", "--subresource=resize", "2026-01-02T03:04:00Z"},
    {"a resize under way",
     [](World& w) {
       w.ready_pod("web-0")
           .mut("status")
           .mut("conditions")
           .push(from(R"({"type":"PodResizeInProgress","status":"True","lastTransitionTime":"2026-01-02T03:04:00Z"})"));
     },
     "resize", Severity::kWaiting, "under way", "the node is bringing it into force", "", "2026-01-02T03:04:00Z"},
    {"a node that was tainted later than it was Ready",
     [](World& w) {
       w.unscheduled("web-0", "0/1 nodes are available: 1 node(s) had untolerated taint(s). preemption: x");
       w.node("n1").mut("spec").set(
           "taints", from(R"([{"key":"team","value":"a","effect":"NoSchedule","timeAdded":"2026-01-02T03:04:03Z"}])"));
     },
     "node/n1", Severity::kWaiting, "Ready, tainted", "the pod does not tolerate team=a:NoSchedule",
     "kubectl taint nodes n1 team=a:NoSchedule-", "2026-01-02T03:04:03Z"},
    {"tainted node",
     [](World& w) {
       w.unscheduled("web-0", "0/1 nodes are available: 1 node(s) had untolerated taint(s). preemption: x");
       w.node("n1").mut("spec").set("taints", from(R"([{"key":"team","value":"a","effect":"NoSchedule"}])"));
     },
     "node/n1", Severity::kWaiting, "Ready, tainted", "the pod does not tolerate team=a:NoSchedule",
     "kubectl taint nodes n1 team=a:NoSchedule-"},
    {"labels that no node has",
     [](World& w) {
       w.unscheduled("web-0", "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. x");
     },
     "scheduling", Severity::kBroken, "Unschedulable",
     "no node has the labels that its nodeSelector or node affinity asks for", "kubectl get nodes --show-labels"},
    {"claim of another pod",
     [](World& w) {
       w.unscheduled(
           "web-0",
           "0/1 nodes are available: 1 node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode "
           "already in-use by another pod. x");
     },
     "scheduling", Severity::kBroken, "Unschedulable", "another pod uses its claim, which only one at a time may",
     "kubectl describe pvc"},
    {"pods that keep it away",
     [](World& w) {
       w.unscheduled("web-0", "0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules. x");
     },
     "scheduling", Severity::kBroken, "Unschedulable", "the pods that run on the nodes keep it away", "--show-labels"},
    {"uneven spread",
     [](World& w) {
       w.unscheduled("web-0", "0/1 nodes are available: 1 node(s) didn't match pod topology spread constraints. x");
     },
     "scheduling", Severity::kBroken, "Unschedulable", "too unevenly for its topologySpreadConstraints",
     "ScheduleAnyway"},
    {"room being made",
     [](World& w) {
       w.unscheduled("web-0", "0/1 nodes are available: 1 Insufficient cpu. preemption: x");
       w.pod("web-0").mut("status").set("nominatedNodeName", "n1");
     },
     "scheduling", Severity::kWaiting, "nominated", "pods of lower priority are leaving node n1 to make room for it",
     ""},
    {"no node at all",
     [](World& w) {
       w.unscheduled("web-0", "no nodes available to schedule pods");
       w.erase(kNodes, "n1", "");
     },
     "scheduling", Severity::kBroken, "Unschedulable", "there is no node", "berth status"},
    {"scheduling gates",
     [](World& w) {
       w.unscheduled("web-0", "Scheduling is blocked due to non-empty scheduling gates");
       w.pod("web-0").mut("spec").set("schedulingGates", from(R"([{"name":"a"},{"name":"b"}])"));
     },
     "scheduling", Severity::kBroken, "SchedulingGated", "the scheduling gates a and b has to remove them",
     "kubectl edit pod web-0"},
    {"a scheduler that has not looked yet",
     [](World& w) {
       w.unscheduled("web-0", "");
       w.pod("web-0").set("status", from(R"({"phase":"Pending"})"));
     },
     "scheduling", Severity::kWaiting, "no node yet", "the scheduler has not looked at it yet", "",
     "2026-01-02T02:34:05Z"},
    {"another scheduler",
     [](World& w) {
       w.unscheduled("web-0", "");
       w.pod("web-0").set("status", from(R"({"phase":"Pending"})"));
       w.pod("web-0").mut("spec").set("schedulerName", "mine");
     },
     "scheduling", Severity::kWaiting, "no node yet", "it waits for the scheduler \"mine\"", ""},
    // --- Claims
    {"claim that is not there",
     [](World& w) {
       w.with_claim("web-0");
       w.erase(kPersistentVolumeClaims, "data");
       w.unscheduled("web-0", "0/1 nodes are available: persistentvolumeclaim \"data\" not found. preemption: x");
     },
     "pvc/data", Severity::kBroken, "does not exist", "the pod asks for a claim that is not there", "create it"},
    {"claim whose class is not there",
     [](World& w) {
       pending_claim(w);
       w.erase(kStorageClasses, "standard", "");
     },
     "pvc/data", Severity::kBroken, "Pending", "there is no storage class standard", "kubectl get storageclass",
     "2026-01-02T03:02:05Z"},
    {"claim without a class",
     [](World& w) {
       pending_claim(w);
       w.claim("data").mut("spec").erase("storageClassName");
     },
     "pvc/data", Severity::kBroken, "Pending", "it names no storage class, and no class is the default one",
     "kubectl get storageclass"},
    {"claim that wants a volume made by hand",
     [](World& w) {
       pending_claim(w);
       w.claim("data").mut("spec").set("storageClassName", "");
       w.event(w.claim("data"), "Normal", "FailedBinding",
               "no persistent volumes available for this claim and no storage class is set");
     },
     "pvc/data", Severity::kBroken, "Pending", "has to be made by hand (no persistent volumes available",
     "create a PersistentVolume of 1Gi"},
    {"claim being provisioned",
     [](World& w) {
       pending_claim(w);
       w.at(kStorageClasses, "standard", "").set("volumeBindingMode", "Immediate");
       w.event(w.claim("data"), "Warning", "ProvisioningFailed", "the disk is full");
       w.event(w.claim("data"), "Normal", "Provisioning", "started", "", "2026-01-02T03:04:04Z");
     },
     "pvc/data", Severity::kWaiting, "Pending",
     "class standard (Immediate) is to make a volume of 1Gi; it says: the disk is full", "kubectl describe pvc data"},
    {"claim of a volume that is not there",
     [](World& w) {
       pending_claim(w);
       w.claim("data").mut("spec").set("volumeName", "mine");
     },
     "pvc/data", Severity::kBroken, "Pending", "it asks for the volume mine, which does not exist", ""},
    {"claim that lost its volume",
     [](World& w) {
       w.with_claim("web-0");
       w.unready("web-0");
       w.claim("data").mut("status").set("phase", "Lost");
     },
     "pvc/data", Severity::kBroken, "Lost", "its volume pv-data is gone", "kubectl delete pvc data"},
    {"claim on its way out",
     [](World& w) {
       w.with_claim("web-0");
       w.claim("data").mut("metadata").set("deletionTimestamp", "2026-01-02T03:03:05Z");
       set_state(w, R"({"waiting":{"reason":"ContainerCreating"}})");
       w.pod("web-0").mut("status").set("phase", "Pending");
     },
     "pvc/data", Severity::kBroken, "Bound, Terminating", "it is deleted as soon as no pod uses it any more",
     "kubectl delete pod web-0", "2026-01-02T03:03:05Z"},
    {"volume that is gone",
     [](World& w) {
       w.with_claim("web-0");
       w.unready("web-0");
       w.erase(kPersistentVolumes, "pv-data", "");
     },
     "pv/pv-data", Severity::kBroken, "does not exist", "the claim is bound to a volume that is gone", ""},
    {"volume of another node",
     [](World& w) {
       w.with_claim("web-0");
       w.unready("web-0");
       w.node("n1").mut("metadata").mut("labels").set("kubernetes.io/hostname", "renamed");
     },
     "pv/pv-data", Severity::kBroken, "1Gi, Bound", "it lives on node n1, but the pod is on node n1",
     "kubectl delete pod web-0"},
    {"volume whose zone has no node",
     [](World& w) {
       w.with_claim("web-0");
       w.unscheduled("web-0", "0/1 nodes are available: 1 node(s) had volume node affinity conflict. preemption: x");
       w.at(kPersistentVolumes, "pv-data", "")
           .mut("spec")
           .mut("nodeAffinity")
           .set("required", from(R"({"nodeSelectorTerms":[
         {"matchExpressions":[{"key":"topology.kubernetes.io/zone","operator":"In","values":["b"]}]}]})"));
     },
     "pv/pv-data", Severity::kBroken, "1Gi, Bound", "it lives on zone b, and there is no such node",
     "kubectl get nodes --show-labels"},
    {"ephemeral claim of somebody else",
     [](World& w) {
       w.with_claim("web-0");
       w.unready("web-0");
       Value claim = w.claim("data");
       claim.mut("metadata").set("name", "web-0-scratch");
       w.put(kPersistentVolumeClaims, claim);
       w.pod("web-0").mut("spec").set("volumes", from(R"([{"name":"scratch","ephemeral":{}}])"));
     },
     "pvc/web-0-scratch", Severity::kBroken, "Bound", "it was not made for the pod's ephemeral volume",
     "kubectl delete pvc web-0-scratch"},
};

class PodSteps : public ::testing::TestWithParam<Case> {};

TEST_P(PodSteps, Blames) {
  const Case& one = GetParam();
  World world;
  world.ready_pod("web-0");
  one.damage(world);
  const WhyReport report = world.explain(kPods, "web-0");
  const std::string text = render(report, kNow, {});
  ASSERT_TRUE(report.waiting()) << text;
  const Line* cause = report.cause();
  ASSERT_NE(cause, nullptr);
  EXPECT_EQ(cause->object, one.object) << text;
  EXPECT_EQ(cause->severity, one.severity) << text;
  EXPECT_EQ(cause->state, one.state) << text;
  EXPECT_NE(cause->why.find(one.why), std::string::npos) << cause->why << "\n" << text;
  if (*one.hint == 0) {
    EXPECT_EQ(cause->hint, "") << text;
  } else {
    EXPECT_NE(cause->hint.find(one.hint), std::string::npos) << cause->hint << "\n" << text;
  }
  if (one.since) {
    ASSERT_TRUE(cause->since.has_value()) << text;
    EXPECT_EQ(format_time(*cause->since), one.since) << text;
  }
}

INSTANTIATE_TEST_SUITE_P(Why, PodSteps, ::testing::ValuesIn(kCases), [](const auto& info) {
  std::string name;
  for (char c : std::string_view(info.param.name)) {
    if (std::isalnum(static_cast<unsigned char>(c))) name += c;
  }
  return name;
});

// --- What is well, and what is only worth a note

TEST(WhyPod, AReadyPodShowsItsChainDownToTheNode) {
  World world;
  world.ready_pod("web-0");
  world.with_claim("web-0");
  const WhyReport report = world.explain(kPods, "web-0");
  EXPECT_FALSE(report.waiting());
  EXPECT_EQ(report.cause(), nullptr);
  EXPECT_EQ(report.summary(kNow), "pod/web-0 waits for nothing");
  for (const Line& line : report.lines) EXPECT_EQ(line.severity, Severity::kGood) << line.object;
  EXPECT_EQ(line_of(report, "pod/web-0").state, "Ready");
  EXPECT_EQ(line_of(report, "node/n1").why, "its agent was last heard of 5s ago");
  EXPECT_EQ(line_of(report, "pvc/data").state, "Bound");
  EXPECT_EQ(line_of(report, "pv/pv-data").why, "it lives on node n1");
  EXPECT_EQ(line_of(report, "container db").state, "running");
  for (const std::string& asked : world.asked) EXPECT_NE(asked.substr(0, 11), "list events") << "not needed here";
}

// The server was killed: the store has an older Lease, and the agent renews it in a moment.
TEST(WhyPod, AReadyNodeWithAnOldLeaseIsNotBlamed) {
  World world;
  world.ready_pod("web-0");
  world.at(kLeases, "n1", "kube-node-lease").mut("spec").set("renewTime", "2026-01-02T02:44:05.000000Z");
  const WhyReport report = world.explain(kPods, "web-0");
  EXPECT_FALSE(report.waiting());
  const Line line = line_of(report, "node/n1");
  EXPECT_EQ(line.severity, Severity::kGood);
  EXPECT_EQ(line.state, "Ready");
  EXPECT_EQ(line.since, parse_time("2026-01-02T02:04:05Z").value());
  EXPECT_EQ(line.why, "its Lease was renewed 20m ago, and the node controller counts it as Ready");
  EXPECT_EQ(line.hint, "");
}

struct Note {
  const char* name;
  Damage damage;
  const char* object;
  const char* state;
  const char* why;
};
void PrintTo(const Note& one, std::ostream* out) { *out << one.name; }

class PodNotes : public ::testing::TestWithParam<Note> {};

TEST_P(PodNotes, AreNotWaitedFor) {
  World world;
  world.ready_pod("web-0");
  GetParam().damage(world);
  const WhyReport report = world.explain(kPods, "web-0");
  EXPECT_FALSE(report.waiting()) << render(report, kNow, {});
  const Line line = line_of(report, GetParam().object);
  EXPECT_EQ(line.severity, Severity::kNote);
  EXPECT_EQ(line.state, GetParam().state);
  EXPECT_NE(line.why.find(GetParam().why), std::string::npos) << line.why;
}

const Note kNotes[] = {
    {"restarted",
     [](World& w) {
       status_of(w)
           .set("restartCount", 2)
           .set("lastState", from(R"({"terminated":{"exitCode":1,"finishedAt":"2026-01-02T03:02:05Z"}})"));
     },
     "container db", "running, 2 restarts", "before that: 2m ago it ended with exit code 1"},
    {"cordoned", [](World& w) { w.node("n1").mut("spec").set("unschedulable", true); }, "node/n1", "Ready, cordoned",
     "no new pods go there"},
    {"pressure",
     [](World& w) {
       w.node("n1").mut("status").mut("conditions").push(from(R"({"type":"DiskPressure","status":"True"})"));
     },
     "node/n1", "Ready, DiskPressure", "last heard of"},
    {"claimGoes",
     [](World& w) {
       w.with_claim("web-0");
       w.claim("data").mut("metadata").set("deletionTimestamp", "2026-01-02T03:03:05Z");
     },
     "pvc/data", "Bound, Terminating", "as soon as no pod uses it"},
    {"claimGrows",
     [](World& w) {
       w.with_claim("web-0");
       w.claim("data").mut("status").set(
           "conditions",
           from(
               R"([{"type":"FileSystemResizePending","status":"True","message":"Waiting for user to (re-)start a pod."}])"));
     },
     "pvc/data", "Bound, FileSystemResizePending", "Waiting for user to (re-)start a pod"},
    {"drain",
     [](World& w) {
       w.node("n1").mut("spec").set("unschedulable", true);
       w.put(
           kPodDisruptionBudgets,
           from(
               R"({"metadata":{"name":"other","namespace":"default"},"spec":{"selector":{"matchLabels":{"app":"x"}}},"status":{"disruptionsAllowed":0}})"));
       w.put(
           kPodDisruptionBudgets,
           from(
               R"({"metadata":{"name":"roomy","namespace":"default"},"spec":{"selector":{"matchLabels":{"app":"web"}}},"status":{"disruptionsAllowed":1}})"));
       w.put(
           kPodDisruptionBudgets,
           from(R"({"metadata":{"name":"tight","namespace":"default"},"spec":{"selector":{"matchLabels":{"app":"web"}}},
         "status":{"disruptionsAllowed":0,"currentHealthy":2,"desiredHealthy":2}})"));
     },
     "poddisruptionbudget/tight", "allows 0 evictions", "draining the node waits for it: 2 pods healthy, 2 wanted"},
};
INSTANTIATE_TEST_SUITE_P(Why, PodNotes, ::testing::ValuesIn(kNotes),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(WhyPod, BudgetsThatDoNotMatterAreNotShown) {
  World world;
  world.ready_pod("web-0");
  kNotes[5].damage(world);
  WhyReport report = world.explain(kPods, "web-0");
  EXPECT_FALSE(has_line(report, "poddisruptionbudget/other"));
  EXPECT_FALSE(has_line(report, "poddisruptionbudget/roomy"));
  world.node("n1").mut("spec").erase("unschedulable");
  EXPECT_FALSE(has_line(world.explain(kPods, "web-0"), "poddisruptionbudget/tight"));
}

TEST(WhyPod, ASucceededPodIsWell) {
  World world;
  world.ready_pod("web-0");
  world.unready("web-0");
  world.pod("web-0").mut("status").set("phase", "Succeeded");
  EXPECT_FALSE(world.explain(kPods, "web-0").waiting());
}

TEST(WhyPod, AClaimThatWaitsForThePodIsNotToBlame) {
  World world;
  world.ready_pod("web-0");
  pending_claim(world);
  world.unscheduled("web-0", "0/1 nodes are available: 1 Insufficient memory. preemption: x");
  const WhyReport report = world.explain(kPods, "web-0");
  EXPECT_EQ(report.cause()->object, "scheduling");
  const Line claim = line_of(report, "pvc/data");
  EXPECT_EQ(claim.severity, Severity::kNote);
  EXPECT_NE(claim.why.find("(WaitForFirstConsumer) makes the volume once a pod that uses it has a node"),
            std::string::npos)
      << claim.why;
  EXPECT_NE(line_of(report, "node/n1").why.find("it has 4Gi memory for all its pods"), std::string::npos);
}

TEST(WhyPod, ContainersBehindAnInitContainerAreOneLine) {
  World world;
  world.ready_pod("web-0");
  with_init(world, R"({"running":{"startedAt":"2026-01-02T03:00:05Z"}})");
  const Line rest = line_of(world.explain(kPods, "web-0"), "second and db");
  EXPECT_EQ(rest.severity, Severity::kNote);
  EXPECT_EQ(rest.why, "init container prepare has to end first");
}

TEST(WhyPod, AnEventOfAnEarlierPodOfTheNameIsNotItsOwn) {
  World world;
  world.ready_pod("web-0");
  running_unready(world, true);
  container(world).set("readinessProbe", from(R"({"exec":{"command":["true"]}})"));
  Value earlier = world.pod("web-0");
  earlier.mut("metadata").set("uid", "uid-before");
  world.event(earlier, "Warning", "Unhealthy", "Readiness probe failed: old", "spec.containers{db}");
  EXPECT_EQ(world.explain(kPods, "web-0").cause()->severity, Severity::kWaiting);
}

TEST(WhyPod, NotFoundIsSaidAsTheApiSaysIt) {
  World world;
  Result<WhyReport> report = explain({kPods, {"default", "nope"}, false}, world, kNow);
  ASSERT_FALSE(report.ok());
  EXPECT_EQ(report.error().message, "pods \"nope\" not found");
}

}  // namespace
}  // namespace berth::why
