"""The cluster's disk is full: writes are refused with an error that names the cause, nothing is stored partially, pods run on,
and writes work again without further action when there is space."""
import json
import shutil

import pytest

import lab
from lab import is_ready, wait_for

SET = f"""
apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: steady}}
spec:
  replicas: 1
  selector: {{matchLabels: {{app: steady}}}}
  serviceName: steady
  template:
    metadata: {{labels: {{app: steady}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: web
        image: {lab.WEB}
        readinessProbe: {{httpGet: {{path: /, port: 80}}, periodSeconds: 1, timeoutSeconds: 30}}
"""
SIZE = 64 << 10


@pytest.fixture
def small(tmp_path):
    """A cluster on a small file system of its own."""
    lab.run(["mount", "-t", "tmpfs", "-o", "size=768m", "berth-e2e", str(tmp_path)])
    cluster = lab.Cluster(str(tmp_path / "cluster"))
    try:
        yield cluster
    finally:
        (tmp_path / "ballast").unlink(missing_ok=True)
        cluster.down("--purge", "--grace", "2", check=False)
        left = cluster.leftovers()
        lab.run(["umount", str(tmp_path)])
        shutil.rmtree(cluster.home, ignore_errors=True)
    assert not left


def fill(path):
    """Fills the disk to the last byte."""
    with open(path, "wb", buffering=0) as ballast:
        block = bytes(1 << 20)
        while block:
            try:
                ballast.write(block)
            except OSError:
                block = block[:len(block) // 2]


def configmap(name):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"text": name + "x" * SIZE}}


def test_a_full_disk(small, tmp_path):
    small.up()
    small.image(lab.WEB)
    session = lab.Session(small, namespace="default")
    wait_for("the authority's map", lambda: session.names("configmaps") == ["kube-root-ca.crt"])
    session.apply(SET)
    session.wait_ready("steady-0")
    before = session.pod("steady-0")
    fill(tmp_path / "ballast")
    path = "/api/v1/namespaces/default/configmaps"

    # Writes still succeed while the store's journals have room; then they are refused.
    stored, refused = [], []
    while len(refused) < 3:
        name = f"map-{len(stored) + len(refused)}"
        code, answer = small.request("POST", path, json.dumps(configmap(name)))
        if code == 201:
            stored.append(name)
            fill(tmp_path / f"ballast-{len(stored)}")
            assert len(stored) < 2000, "the disk does not get full"
        else:
            assert (code, answer["reason"]) == (503, "ServiceUnavailable") and "No space left on device" in answer["message"], answer
            refused.append(name)
    error = session.fails("create", "configmap", "by-kubectl", "--from-literal=a=" + "b" * SIZE)
    assert "No space left on device" in error, error

    # Reads and running pods still work.
    assert session.names("configmaps") == sorted(stored + ["kube-root-ca.crt"])
    for name in stored:
        assert session.get("configmaps", name)["data"] == configmap(name)["data"]
    for name in refused:
        assert small.request("GET", f"{path}/{name}")[0] == 404
    assert session.out("get", "pod", "steady-0", "--no-headers").split()[1:4] == ["1/1", "Running", "0"]
    assert session.exec("steady-0", "curl -s localhost") == "steady-0\n"
    assert any(c["type"] == "Ready" and c["status"] == "True" for c in small.api("/api/v1/nodes/berth-1")["status"]["conditions"])

    # After space is freed, writes work again without further action.
    for ballast in tmp_path.glob("ballast*"):
        ballast.unlink()
    for name in refused:
        code, answer = small.request("POST", path, json.dumps(configmap(name)))
        assert code == 201, answer
    session.k("scale", "sts/steady", "--replicas=2")
    session.wait_ready("steady-1")
    now = session.pod("steady-0")
    assert is_ready(now) and now["metadata"]["uid"] == before["metadata"]["uid"]
    assert now["status"]["containerStatuses"][0]["containerID"] == before["status"]["containerStatuses"][0]["containerID"]
    # The writes are on the disk.
    small.kill("server")
    small.up()
    for name in stored + refused:
        assert session.get("configmaps", name)["data"] == configmap(name)["data"]
    session.close_home()


FLOOD = f"""
apiVersion: v1
kind: Pod
metadata: {{name: flood}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    image: {lab.WEB}
    command: [sh, -c, "while :; do cat /dev/zero > /e/f; sleep 0.1; done"]
    volumeMounts: [{{name: e, mountPath: /e}}]
  volumes: [{{name: e, emptyDir: {{}}}}]
"""


def test_a_pod_that_floods_the_disk(small, tmp_path):
    small.up()
    small.image(lab.WEB)
    session = lab.Session(small, namespace="default")
    session.apply(SET)
    session.wait_ready("steady-0")
    session.apply(FLOOD)
    # The pod truncates the file whenever the disk is full: the server may check the disk just then, several times in a row.
    wait_for("the flood's end", lambda: session.pod("flood")["status"].get("reason") == "Evicted", timeout=150)
    status = session.pod("flood")["status"]
    assert status["phase"] == "Failed" and "low on resource: ephemeral-storage" in status["message"], status
    assert is_ready(session.pod("steady-0"))
    session.k("delete", "pod", "flood", "--timeout=30s")

    # Fill to the last block: the reserve file provides the space to stop the cluster and start it again.
    fill(tmp_path / "ballast")
    session.k("delete", "sts", "steady", "--timeout=60s")
    session.wait_gone("pods", "steady-0")
    small.down("--grace", "2")
    small.up()
    assert session.names("statefulsets") == []
    session.close_home()
