"""A DaemonSet rollout and its rollback, a ReplicationController that scales; with the newest kubectl."""
import json

import lab
from lab import columns, is_ready, wait_for


def manifest(api_version, kind, name, **spec):
    return json.dumps({
        "apiVersion": api_version, "kind": kind, "metadata": {"name": name},
        "spec": {**spec, "template": {"metadata": {"labels": {"app": name}}, "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "c", "image": lab.WEB, "env": [{"name": "COLOUR", "value": "red"}],
                            "readinessProbe": {"httpGet": {"path": "/", "port": 80}, "periodSeconds": 1}}]}}}})


def colours(k, name):
    return [p["spec"]["containers"][0]["env"][0]["value"] for p in k.pods_of(f"app={name}") if "deletionTimestamp" not in p["metadata"]]


def test_daemon_set_rolls_and_is_undone(session):
    k = session
    k.apply(manifest("apps/v1", "DaemonSet", "log", selector={"matchLabels": {"app": "log"}}))
    assert 'daemon set "log" successfully rolled out' in k.out("rollout", "status", "daemonset/log", "--timeout=60s")
    node = k.cluster.api("/api/v1/nodes")["items"][0]["metadata"]["name"]
    pod, = k.pods_of("app=log")
    assert pod["spec"]["nodeName"] == node and is_ready(pod)
    rows = columns(k.out("get", "daemonsets"))
    assert rows[0] == ["NAME", "DESIRED", "CURRENT", "READY", "UP-TO-DATE", "AVAILABLE", "NODE SELECTOR", "AGE"]
    assert rows[1][:7] == ["log", "1", "1", "1", "1", "1", "<none>"]
    # A cordoned node keeps its DaemonSet pods, and missing ones are created on it.
    k.k("cordon", node)
    k.k("delete", "pod", pod["metadata"]["name"])
    wait_for("another pod", lambda: [p for p in k.pods_of("app=log") if p["metadata"]["uid"] != pod["metadata"]["uid"] and is_ready(p)])
    k.k("uncordon", node)
    k.k("set", "env", "daemonset/log", "COLOUR=blue")
    assert "successfully rolled out" in k.out("rollout", "status", "daemonset/log", "--timeout=60s")
    assert colours(k, "log") == ["blue"]
    k.k("rollout", "restart", "daemonset/log")
    assert "successfully rolled out" in k.out("rollout", "status", "daemonset/log", "--timeout=60s")
    assert [line.split()[0] for line in k.out("rollout", "history", "daemonset/log").splitlines() if line[:1].isdigit()] == ["1", "2", "3"]
    assert "rolled back" in k.out("rollout", "undo", "daemonset/log", "--to-revision=1")
    assert "successfully rolled out" in k.out("rollout", "status", "daemonset/log", "--timeout=60s")
    assert colours(k, "log") == ["red"]
    assert sorted(r["revision"] for r in k.list("controllerrevisions")["items"]) == [2, 3, 4]
    assert "SuccessfulCreate" in k.out("describe", "daemonset", "log")
    k.k("delete", "daemonset", "log")
    wait_for("its pods and revisions to go", lambda: not k.pods_of("app=log") and not k.list("controllerrevisions")["items"])


def test_replication_controller_scales(session):
    k = session
    k.apply(manifest("v1", "ReplicationController", "old"))
    assert k.get("replicationcontrollers", "old")["spec"]["selector"] == {"app": "old"}
    k.k("scale", "rc/old", "--replicas=3")
    wait_for("three pods", lambda: k.get("replicationcontrollers", "old")["status"].get("readyReplicas") == 3)
    assert columns(k.out("get", "rc"))[1][:4] == ["old", "3", "3", "3"]
    k.k("scale", "rc/old", "--replicas=1")
    wait_for("one pod", lambda: len(k.pods_of("app=old")) == 1 and k.get("replicationcontrollers", "old")["status"]["replicas"] == 1)
    # Without --cascade, deletion leaves the pods.
    k.cluster.request("DELETE", f"/api/v1/namespaces/{k.ns}/replicationcontrollers/old")
    wait_for("the pod without owner", lambda: not k.list("replicationcontrollers")["items"]
             and [p for p in k.pods_of("app=old") if not p["metadata"].get("ownerReferences")])
