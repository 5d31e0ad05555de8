"""The agent or the server dies and restarts: containers and their state in the API stay as they are."""
import json
import pathlib
import re

import pytest

import lab
from lab import is_ready, wait_for

PODS = f"""
apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: steady}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: steady}}}}
  serviceName: steady
  podManagementPolicy: Parallel
  template:
    metadata: {{labels: {{app: steady}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: web
        image: {lab.WEB}
        readinessProbe: {{httpGet: {{path: /, port: 80}}, periodSeconds: 1, timeoutSeconds: 30}}
        livenessProbe: {{httpGet: {{path: /, port: 80}}, periodSeconds: 1, timeoutSeconds: 30}}
        volumeMounts: [{{name: data, mountPath: /var/www/html}}]
      - name: ticker
        image: {lab.WEB}
        command: [sh, -c, "i=0; while :; do i=$((i+1)); echo tick $i; sleep 0.2; done"]
  volumeClaimTemplates:
  - metadata: {{name: data}}
    spec:
      accessModes: [ReadWriteOnce]
      resources: {{requests: {{storage: 16Mi}}}}
"""


@pytest.fixture(scope="module")
def s(own_cluster):
    own_cluster.up()
    own_cluster.image(lab.WEB)
    session = lab.Session(own_cluster, namespace="default")
    session.apply(PODS)
    session.wait_ready("steady-0", "steady-1")
    yield session
    session.close_home()


def lives(s):
    """The state that a restart of our processes must not change."""
    return {p["metadata"]["name"]: (p["metadata"]["uid"], p["status"]["podIP"], p["status"]["startTime"], sorted(
        (c["name"], c["containerID"], c["restartCount"], c["state"]["running"]["startedAt"]) for c in p["status"]["containerStatuses"]))
        for p in s.list("pods")["items"]}


def last_tick(s):
    return int(re.findall(r"tick (\d+)", s.out("logs", "steady-0", "-c", "ticker", "--tail=1"))[-1])


def test_agent_restart(s):
    before, tick = lives(s), last_tick(s)
    with s.watch() as watch:
        s.cluster.kill("agent")
        s.cluster.up()
        wait_for("the ticker's log to go on", lambda: last_tick(s) > tick + 15)
        assert lives(s) == before
        for kind, pod in watch.events:
            assert kind == "MODIFIED" and is_ready(pod), f"{kind} {pod['metadata']['name']}: {pod['status']}"
    # No log line was lost while there was no agent: conmon writes the logs.
    ticks = [int(t) for t in re.findall(r"tick (\d+)", s.out("logs", "steady-0", "-c", "ticker"))]
    assert ticks == list(range(1, len(ticks) + 1))
    # The new agent controls adopted containers: it stops and replaces them.
    uid = s.pod("steady-1")["metadata"]["uid"]
    s.k("delete", "pod", "steady-1")
    wait_for("a new steady-1", lambda: s.pod("steady-1")["metadata"]["uid"] != uid)
    s.wait_ready("steady-0", "steady-1")


def test_a_second_agent_touches_nothing(s):
    """The first agent still works: it starts containers and runs commands in them."""
    before = lives(s)
    second = s.cluster.berth("agent", check=False)
    assert second.returncode == 1 and "another agent runs in " in second.stderr, second
    assert lives(s) == before
    assert s.exec("steady-0", "echo here", "ticker").strip() == "here"
    s.k("run", "late", f"--image={lab.WEB}", "--restart=Never", "--", "true")
    wait_for("a container that starts", lambda: s.pod("late")["status"].get("phase") == "Succeeded")
    s.k("delete", "pod", "late")


def test_what_dies_is_started_again(s):
    """Daemons are restarted without `berth up`. Pods are not affected by the death of a daemon or the supervisor."""
    before = lives(s)
    for role in ("agent", "server"):
        pid = s.cluster.pid(role)
        s.cluster.kill(role)
        wait_for(f"another {role}", lambda: s.cluster.pid(role) != pid)
    wait_for("an answer", lambda: s.k("get", "nodes", check=False).returncode == 0)
    status = s.cluster.berth("status").stdout
    assert len(re.findall(r"running, pid \d+.*; restarted (?:once|\d+ times), (?:last )?at 2\S+Z: (?:killed by signal 9|ended)", status)) == 2, status
    s.k("annotate", "pod", "steady-0", "seen=yes")
    wait_for("the agent to be at work", lambda: s.k("exec", "steady-0", "-c", "ticker", "--", "true", check=False).returncode == 0)
    assert lives(s) == before
    roles = s.cluster.pid("server"), s.cluster.pid("agent")
    s.cluster.kill("supervisor")
    assert "; restarted once, at 2" in s.cluster.up().stdout
    assert (s.cluster.pid("server"), s.cluster.pid("agent")) == roles and lives(s) == before


def test_when_the_next_start_is_due(s):
    """A daemon that ends repeatedly is restarted at once, then after 1 s, 2 s, 4 s; `berth status` and the log show the time."""
    said = s.cluster.berth("status").stdout
    for _ in range(4):
        if "starts again in" in said:
            break
        s.cluster.kill("server")
        wait_for("word of the server", lambda: re.search("API server  (running|.*starts again in)", s.cluster.berth("status", check=False).stdout))
        said = s.cluster.berth("status", check=False).stdout
    assert "API server  not running: killed by signal 9 (Killed), starts again in " in said, said
    assert re.search(r"starts again in \d+s \(\d ends in \S+\), https://127.0.0.1:\d+; restarted ", said), said
    assert re.search(r"(?m)^incomplete  the supervisor starts what is missing; berth up --data-dir \S+ does so at once$", said), said
    log = pathlib.Path(s.cluster.data_dir, "logs/supervisor.log").read_text()
    assert re.search(r"the server has ended; it starts again in \d+s \(\d ends in ", log), log
    wait_for("an answer", lambda: s.k("get", "nodes", check=False).returncode == 0)


def test_server_restart(s):
    before = lives(s)
    claims = [(c["metadata"]["name"], c["metadata"]["uid"], c["status"]["phase"]) for c in s.list("persistentvolumeclaims")["items"]]
    s.k("create", "configmap", "written-just-before", "--from-literal=a=b")
    s.cluster.kill("server")
    s.cluster.up()
    assert s.get("configmaps", "written-just-before")["data"] == {"a": "b"}
    assert lives(s) == before
    assert claims == [(c["metadata"]["name"], c["metadata"]["uid"], c["status"]["phase"]) for c in s.list("persistentvolumeclaims")["items"]]
    # Controllers, scheduler and agent reconnect to the new server.
    s.k("scale", "sts/steady", "--replicas=3")
    s.wait_ready("steady-2")
    assert all(is_ready(p) for p in s.list("pods")["items"])
    node = s.cluster.api("/api/v1/nodes/berth-1")
    assert any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"]["conditions"])


def test_what_the_server_died_on_is_left_alone(s):
    """After three crashes over one object, the next start reports that and skips the object until it changes."""
    deaths = pathlib.Path(s.cluster.data_dir, "run/deaths.json")
    version = s.cluster.berth("status").stdout and lab.run([lab.BERTH, "--version"]).stdout.split()[1]
    deaths.write_text(json.dumps({"version": version, "deaths": [{"controller": "statefulset", "key": "default/steady", "times": 3}]}))
    s.cluster.kill("server")
    assert "left alone  default/steady: the server died 3 times" in s.cluster.up().stdout
    uid = s.pod("steady-2")["metadata"]["uid"]
    s.k("create", "configmap", "others-go-on", "--from-literal=a=b")
    s.k("delete", "pod", "steady-2")
    wait_for("the event", lambda: "Quarantined" in s.out("get", "events", "--field-selector", "involvedObject.name=steady", "-o", "name", "-o", "jsonpath={.items[*].reason}"))
    assert "steady-2" not in s.names("pods")
    s.k("annotate", "sts/steady", "tried=again")
    s.wait_ready("steady-2")
    assert s.pod("steady-2")["metadata"]["uid"] != uid
    assert "left alone" not in s.cluster.berth("status").stdout


def test_both_restart_while_a_set_grows(s):
    s.k("scale", "sts/steady", "--replicas=5")
    s.cluster.kill("agent")
    s.cluster.kill("server")
    s.cluster.up()
    s.wait_ready(*(f"steady-{i}" for i in range(5)))
    assert s.names("persistentvolumeclaims") == [f"data-steady-{i}" for i in range(5)]
