"""Pods on the node: probes, init containers, back-off, updated files, memory limits, growing disks."""
import json
import os
import re

import lab
from lab import is_ready, pod, wait_for


def status_of(session, name):
    return session.pod(name)["status"]["containerStatuses"][0]


def test_liveness_restarts(session):
    session.apply(pod("fragile", {"command": ["sh", "-c", "touch /tmp/well; exec sleep 100000"],
                                  "livenessProbe": {"exec": {"command": ["cat", "/tmp/well"]}, "periodSeconds": 1, "timeoutSeconds": 30, "failureThreshold": 2}}))
    session.wait_ready("fragile")
    first = status_of(session, "fragile")["containerID"]
    # Without a readiness probe the pod is ready before its command has made the file.
    session.exec("fragile", "until rm /tmp/well; do sleep 0.1; done")
    session.wait_event("Pod", "fragile", "Unhealthy", "Liveness probe failed: .*/tmp/well")
    session.wait_event("Pod", "fragile", "Killing", "Container c failed liveness probe, will be restarted")
    wait_for("a restart", lambda: status_of(session, "fragile")["restartCount"] == 1)
    session.wait_ready("fragile")
    status = status_of(session, "fragile")
    assert status["containerID"] != first and status["lastState"]["terminated"]["exitCode"] == 137


def test_readiness_only_removes_from_the_service(session):
    session.apply(pod("moody", {"readinessProbe": {"exec": {"command": ["test", "!", "-e", "/tmp/tired"]}, "periodSeconds": 1, "timeoutSeconds": 30, "failureThreshold": 1}}))
    session.apply(json.dumps({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "moody"},
                              "spec": {"clusterIP": "None", "selector": {"app": "moody"}, "ports": [{"port": 80}]}}))
    session.wait_ready("moody")

    def addresses():
        return [a["ip"] for s in session.get("endpoints", "moody").get("subsets", []) for a in s.get("addresses", [])]
    address = session.pod("moody")["status"]["podIP"]
    wait_for("the address", lambda: addresses() == [address])
    session.exec("moody", "touch /tmp/tired")
    wait_for("no address", lambda: addresses() == [])
    assert not is_ready(session.pod("moody")) and status_of(session, "moody")["restartCount"] == 0
    session.exec("moody", "rm /tmp/tired")
    wait_for("the address again", lambda: addresses() == [address])


def test_crash_back_off(session):
    session.apply(pod("crash", {"command": ["sh", "-c", "echo sorry; exit 2"]}))
    session.wait_event("Pod", "crash", "BackOff", "Back-off restarting failed container c in pod crash_")
    wait_for("CrashLoopBackOff", lambda: re.search(r"^crash +0/1 +CrashLoopBackOff", session.out("get", "pods"), re.M))
    status = wait_for("back-off", lambda: next((c for c in [status_of(session, "crash")] if "waiting" in c["state"]), None))
    assert status["lastState"]["terminated"]["exitCode"] == 2
    assert status["restartCount"] >= 1, "the first restart is not held back"
    wait_for("its words", lambda: session.out("logs", "crash") == "sorry\n")


def test_init_container_fails(session):
    broken = {"name": "prepare", "image": lab.WEB, "command": ["sh", "-c", "echo no; exit 9"]}
    session.apply(pod("retries", {}, initContainers=[broken]))
    session.apply(pod("gives-up", {}, initContainers=[broken], restartPolicy="Never"))
    wait_for("Init:Error", lambda: re.search(r"^gives-up +0/1 +Init:Error", session.out("get", "pods"), re.M))
    assert session.pod("gives-up")["status"]["phase"] == "Failed"
    wait_for("Init:CrashLoopBackOff", lambda: re.search(r"^retries +0/1 +Init:CrashLoopBackOff", session.out("get", "pods"), re.M))
    wait_for("its words", lambda: session.out("logs", "retries", "-c", "prepare") == "no\n")
    assert "running" not in session.pod("retries")["status"]["containerStatuses"][0]["state"]


def test_init_containers_in_order_and_a_sidecar(session):
    def step(text):
        return {"image": lab.WEB, "command": ["sh", "-c", text], "volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    session.apply(pod("steps", {"command": ["sh", "-c", "cat /v/log; exec sleep 100000"], "volumeMounts": [{"name": "v", "mountPath": "/v"}]},
                      initContainers=[{"name": "one", **step("echo one >> /v/log")},
                                      {"name": "side", "restartPolicy": "Always", **step("echo side >> /v/log; touch /v/up; exec sleep 100000"),
                                       "startupProbe": {"exec": {"command": ["test", "-e", "/v/up"]}, "periodSeconds": 1, "timeoutSeconds": 30, "failureThreshold": 60}},
                                      {"name": "two", **step("echo two >> /v/log")}],
                      volumes=[{"name": "v", "emptyDir": {}}]))
    session.wait_ready("steps")
    wait_for("all steps", lambda: session.out("logs", "steps", "-c", "c") == "one\nside\ntwo\n")
    assert re.search(r"^steps +2/2 +Running", session.out("get", "pods"), re.M)


def test_configmap_reaches_the_volume(session):
    session.k("create", "configmap", "settings", "--from-literal=colour=red")
    session.k("create", "secret", "generic", "words", "--from-literal=word=open")
    session.apply(pod("reader", {
        "env": [{"name": "COLOUR", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "colour"}}},
                {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "volumeMounts": [{"name": "settings", "mountPath": "/etc/settings"}, {"name": "words", "mountPath": "/etc/words"}]},
        volumes=[{"name": "settings", "configMap": {"name": "settings"}},
                 {"name": "words", "secret": {"secretName": "words", "defaultMode": 256}}]))
    session.wait_ready("reader")
    assert session.exec("reader", "echo $COLOUR $POD; cat /etc/settings/colour; cat /etc/words/word; stat -Lc %a /etc/words/word") == "red reader\nredopen400\n"
    session.k("patch", "configmap", "settings", "-p", '{"data":{"colour":"blue","shape":"round"}}')
    wait_for("the new colour", lambda: session.exec("reader", "cat /etc/settings/colour") == "blue", 90)
    assert session.exec("reader", "cat /etc/settings/shape; echo $COLOUR") == "roundred\n"


def test_empty_dir_in_memory(session):
    session.apply(pod("memory", {"volumeMounts": [{"name": "m", "mountPath": "/m"}, {"name": "d", "mountPath": "/d"}]},
                      volumes=[{"name": "m", "emptyDir": {"medium": "Memory", "sizeLimit": "8Mi"}}, {"name": "d", "emptyDir": {}}]))
    session.wait_ready("memory")
    assert session.exec("memory", "stat -fc %T /m; df --output=size -B1M /m | tail -1").split() == ["tmpfs", "8"]
    assert "No space left" in session.fails("exec", "memory", "--", "sh", "-c", "head -c 9000000 /dev/zero > /m/full")
    assert session.exec("memory", "rm /m/full; echo kept > /d/file; head -c 9000000 /dev/zero > /d/more; cat /d/file") == "kept\n"


def test_memory_limit(session):
    session.apply(pod("hungry", {"command": ["sh", "-c", "exec tail /dev/zero"], "resources": {"limits": {"memory": "32Mi"}}}, restartPolicy="Never"))
    wait_for("OOMKilled", lambda: status_of(session, "hungry")["state"]["terminated"]["reason"] == "OOMKilled")
    assert status_of(session, "hungry")["state"]["terminated"]["exitCode"] == 137
    assert not os.path.exists("oom"), "conmon's mark belongs to the container, not to where berth up was called"


def test_disk_is_full_and_grows(session):
    session.apply("""
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: growing}
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 32Mi}}
""")
    session.apply(pod("writer", {"volumeMounts": [{"name": "v", "mountPath": "/v"}]},
                      volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "growing"}}]))
    session.wait_ready("writer")
    error = session.fails("exec", "writer", "--", "sh", "-c", "head -c 40000000 /dev/zero > /v/big")
    assert "No space left on device" in error
    session.exec("writer", "rm /v/big; echo kept > /v/file; sync")
    session.k("patch", "pvc", "growing", "-p", '{"spec":{"resources":{"requests":{"storage":"96Mi"}}}}')

    def capacity():
        return session.get("persistentvolumeclaims", "growing")["status"]["capacity"]["storage"]

    def pending():
        conditions = session.get("persistentvolumeclaims", "growing")["status"].get("conditions", [])
        return any(c["type"] == "FileSystemResizePending" for c in conditions)
    wait_for("the disk to grow, or to wait for the next mount", lambda: capacity() == "96Mi" or pending(), 60)
    if capacity() != "96Mi":
        session.k("delete", "pod", "writer")
        session.apply(pod("writer", {"volumeMounts": [{"name": "v", "mountPath": "/v"}]},
                          volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "growing"}}]))
        session.wait_ready("writer")
        wait_for("the new size", lambda: capacity() == "96Mi")
    assert session.exec("writer", "head -c 40000000 /dev/zero > /v/big && cat /v/file") == "kept\n"
    assert "Forbidden: field can not be less than status.capacity" in session.fails(
        "patch", "pvc", "growing", "-p", '{"spec":{"resources":{"requests":{"storage":"16Mi"}}}}')


def test_hooks(session):
    session.apply(pod("hooked", {
        "command": ["sh", "-c", "trap 'echo term >> /v/log; exit 0' TERM; while :; do sleep 0.05; done"],
        "volumeMounts": [{"name": "v", "mountPath": "/v"}],
        "lifecycle": {"postStart": {"exec": {"command": ["sh", "-c", "echo start >> /v/log"]}},
                      "preStop": {"exec": {"command": ["sh", "-c", "echo stop >> /v/log"]}}}},
        terminationGracePeriodSeconds=10, volumes=[{"name": "v", "hostPath": {"path": f"{session.home}/hooked", "type": "DirectoryOrCreate"}}]))
    session.wait_ready("hooked")
    session.k("delete", "pod", "hooked")
    assert open(f"{session.home}/hooked/log").read() == "start\nstop\nterm\n"


def test_users_of_its_own(session):
    """hostUsers: false: root in the pod is unprivileged on the node, and still owns the pod's files and may use low ports."""
    session.apply(pod("mapped", {"command": ["sh", "-c", "touch /v/f; exec sleep 100000"], "volumeMounts": [{"name": "v", "mountPath": "/v"}]},
                      hostUsers=False, volumes=[{"name": "v", "emptyDir": {}}]))
    session.wait_ready("mapped")
    inside, outside, count = session.exec("mapped", "cat /proc/self/uid_map").split()
    assert inside == "0" and int(outside) >= 65536 and count == "65536"
    assert session.exec("mapped", "stat -c %u /v/f").strip() == "0"


def test_the_api_by_its_endpoints(kubectl):
    """default/kubernetes leads to the server: in kubectl's output, from a pod, and again after a user damaged it."""
    port = kubectl.cluster.port
    where = f"{kubectl.cluster.api('/api/v1/nodes')['items'][0]['status']['addresses'][0]['address']}:{port}"
    known = kubectl.out("get", "endpoints,endpointslices", "-n", "default", "-o", "wide")
    assert re.search(rf"^endpoints/kubernetes +{where} ", known, re.M), known
    assert re.search(rf"^endpointslice\.discovery\.k8s\.io/kubernetes +IPv4 +{port} +{where.split(':')[0]} ", known, re.M), known
    assert re.search(rf"^Endpoints: +{where}$", kubectl.out("describe", "service", "kubernetes", "-n", "default"), re.M)
    kubectl.apply(pod("asks", {}))
    kubectl.wait_ready("asks")
    asked = kubectl.exec("asks", f"curl -s --cacert /var/run/secrets/kubernetes.io/serviceaccount/ca.crt https://{where}/version")
    assert '"major": "1"' in asked, asked
    kubectl.k("delete", "endpoints,endpointslices", "kubernetes", "-n", "default")
    wait_for("both again", lambda: kubectl.out("get", "endpoints,endpointslices", "-n", "default", "-o", "name").split() ==
             ["endpoints/kubernetes", "endpointslice.discovery.k8s.io/kubernetes"])


def test_a_pod_that_names_its_node_must_fit(session):
    node = session.cluster.api("/api/v1/nodes")["items"][0]
    cpus = int(node["status"]["allocatable"]["cpu"])
    here = {"nodeName": node["metadata"]["name"]}
    session.apply(pod("large", {"resources": {"requests": {"cpu": str(cpus + 1)}}}, **here))
    session.apply(pod("elsewhere", {}, nodeSelector={"disk": "tape"}, **here))
    session.apply(pod("first", {"ports": [{"containerPort": 80, "hostPort": 17499}]}, **here))
    session.wait_ready("first")
    session.apply(pod("again", {"ports": [{"containerPort": 80, "hostPort": 17499}]}, **here))
    for name, reason, text in (
            ("large", "OutOfcpu", f"Node didn't have enough resource: cpu, requested: {cpus + 1}000, used: \\d+, capacity: {cpus}000"),
            ("elsewhere", "NodeAffinity", r"Predicate NodeAffinity failed: node\(s\) didn't match Pod's node affinity/selector"),
            ("again", "NodePorts", r"Predicate NodePorts failed: node\(s\) didn't have free ports for the requested pod ports")):
        status = wait_for("a refusal", lambda: session.pod(name)["status"].get("reason") and session.pod(name)["status"])
        assert status["phase"] == "Failed" and status["reason"] == reason
        assert re.fullmatch("Pod was rejected: " + text, status["message"])
        session.wait_event("Pod", name, reason, text)
    assert [line.split()[2] for line in session.out("get", "pods", "--no-headers").splitlines()] == ["NodePorts", "NodeAffinity", "Running", "OutOfcpu"]


def test_a_rule_restarts_all_containers(session):
    """The init container runs again; the pod keeps its address and its volumes' contents."""
    mounts = [{"name": "v", "mountPath": "/v"}]
    session.apply(pod(
        "gang",
        {"name": "main", "command": ["sh", "-c", "trap '' TERM; echo main >> /v/log; while :; do sleep 1; done"],
         "volumeMounts": mounts, "lifecycle": {"preStop": {"exec": {"command": ["sh", "-c", "echo hook >> /v/log"]}}}},
        {"name": "watcher", "command": ["sh", "-c", "until [ -e /v/broken ]; do sleep 0.1; done; rm /v/broken; exit 88"],
         "volumeMounts": mounts, "restartPolicy": "Never",
         "restartPolicyRules": [{"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [88]}}]},
        restartPolicy="Never", terminationGracePeriodSeconds=30, volumes=[{"name": "v", "emptyDir": {}}],
        initContainers=[{"name": "setup", "image": lab.WEB, "command": ["sh", "-c", "echo set up >> /v/log"], "volumeMounts": mounts}]))
    session.wait_ready("gang")
    before = session.pod("gang")["status"]
    session.exec("gang", "touch /v/broken", container="main")
    wait_for("a restart of all", lambda: [c.get("restartCount") for c in session.pod("gang")["status"]["containerStatuses"]] == [1, 1] and
             is_ready(session.pod("gang")))
    after = session.pod("gang")["status"]
    assert after["podIP"] == before["podIP"] and after["phase"] == "Running"
    assert after["initContainerStatuses"][0]["restartCount"] == 1
    for one in after["containerStatuses"]:
        last = {key: value for key, value in one["lastState"]["terminated"].items() if value is not None}
        assert last == {"exitCode": 137, "reason": "RestartingAllContainers", "message": "The container is removed because RestartAllContainers in place"}
    assert {c["type"]: c["status"] for c in after["conditions"]}["AllContainersRestarting"] == "False"
    assert session.exec("gang", "cat /v/log", container="main").split("\n")[:4] == ["set up", "main", "set up", "main"]
