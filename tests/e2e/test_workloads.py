"""Deployments, rollouts, drains and the end of a namespace, with each kubectl."""
import json
import pathlib
import re

import lab
from lab import columns, is_ready, wait_for


def workload(kind, name, replicas=2, **spec):
    return json.dumps({
        "apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, **spec,
                 "template": {"metadata": {"labels": {"app": name}}, "spec": {
                     "terminationGracePeriodSeconds": 1,
                     "containers": [{"name": "c", "image": lab.WEB, "env": [{"name": "COLOUR", "value": "red"}],
                                     "readinessProbe": {"httpGet": {"path": "/", "port": 80}, "periodSeconds": 1}}]}}}})


def colours(k, name):
    return sorted(p["spec"]["containers"][0]["env"][0]["value"] for p in k.pods_of(f"app={name}")
                  if "deletionTimestamp" not in p["metadata"])


def test_deployment_rollout(kubectl):
    k = kubectl
    k.apply(workload("Deployment", "front"))
    assert "successfully rolled out" in k.out("rollout", "status", "deployment/front", "--timeout=300s")
    rows = columns(k.out("get", "deployments"))
    assert rows[0] == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"] and rows[1][:4] == ["front", "2/2", "2", "2"]
    first = {p["metadata"]["uid"] for p in k.pods_of("app=front")}
    assert k.out("rollout", "restart", "deployment/front") == "deployment.apps/front restarted\n"
    assert "successfully rolled out" in k.out("rollout", "status", "deployment/front", "--timeout=300s")
    wait_for("the old pods to go", lambda: not first & {p["metadata"]["uid"] for p in k.pods_of("app=front")})
    assert k.out("set", "env", "deployment/front", "COLOUR=blue") == "deployment.apps/front env updated\n"
    assert "successfully rolled out" in k.out("rollout", "status", "deployment/front", "--timeout=300s")
    wait_for("blue", lambda: colours(k, "front") == ["blue", "blue"])
    assert len(re.findall(r"^\d+ ", k.out("rollout", "history", "deployment/front"), re.M)) == 3
    assert k.out("rollout", "undo", "deployment/front").startswith("deployment.apps/front rolled back")
    assert "successfully rolled out" in k.out("rollout", "status", "deployment/front", "--timeout=300s")
    wait_for("red", lambda: colours(k, "front") == ["red", "red"])
    assert len(k.list("replicasets")["items"]) == 3
    k.k("delete", "deployment", "front")
    wait_for("its sets and pods to go", lambda: not k.list("replicasets")["items"] and not k.pods_of("app=front"))


def test_set_rollout_in_reverse_order(kubectl):
    k = kubectl
    k.apply(workload("StatefulSet", "back", 3, serviceName="back"))
    k.wait_ready("back-0", "back-1", "back-2")
    with k.watch() as watch:
        k.k("set", "env", "statefulset/back", "COLOUR=blue")
        assert "partitioned roll out complete: 3 new pods have been updated" in k.out("rollout", "status", "statefulset/back", "--timeout=300s")
        wait_for("blue", lambda: colours(k, "back") == ["blue"] * 3 and all(is_ready(p) for p in k.pods_of("app=back")))
        wait_for("the watch to see it", lambda: watch.first("back-0", lambda kind, p: kind == "ADDED"))
        for later, earlier in (("back-2", "back-1"), ("back-1", "back-0")):
            again = watch.created(later)
            assert watch.first(later, lambda _, p: is_ready(p), again) < watch.terminating(earlier)
    k.k("rollout", "undo", "statefulset/back")
    wait_for("red", lambda: colours(k, "back") == ["red"] * 3 and all(is_ready(p) for p in k.pods_of("app=back")))
    assert len(k.list("controllerrevisions")["items"]) == 2


def test_delete_a_namespace(kubectl):
    k = kubectl
    k.k("create", "namespace", f"{k.ns}-doomed")
    k.k("-n", f"{k.ns}-doomed", "apply", "-f", "-", stdin=workload("StatefulSet", "back", 2, serviceName="back", volumeClaimTemplates=[
        {"metadata": {"name": "v"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "16Mi"}}}}]))
    k.k("-n", f"{k.ns}-doomed", "rollout", "status", "statefulset/back", "--timeout=300s")
    volumes = [c["spec"]["volumeName"] for c in k.cluster.api(f"/api/v1/namespaces/{k.ns}-doomed/persistentvolumeclaims")["items"]]
    assert len(volumes) == 2
    assert k.out("delete", "namespace", f"{k.ns}-doomed", "--timeout=300s").startswith(f'namespace "{k.ns}-doomed" deleted')
    assert k.cluster.request("GET", f"/api/v1/namespaces/{k.ns}-doomed")[0] == 404
    for volume in volumes:  # policy Delete: the volumes' files are deleted with the claims
        wait_for(f"{volume} gone", lambda volume=volume: k.cluster.request("GET", f"/api/v1/persistentvolumes/{volume}")[0] == 404)
    # The set's controller saw its pods being deleted and did not recreate them.
    log = pathlib.Path(k.cluster.data_dir, "logs/server.log").read_text(errors="replace")
    assert not [line for line in log.splitlines() if f"{k.ns}-doomed" in line and "refused" in line]
    assert "NotFound" in k.fails("get", "namespace", f"{k.ns}-doomed")
    assert 'not found' in k.fails("-n", f"{k.ns}-doomed", "create", "configmap", "late")


def test_drain_honours_budgets(kubectl):
    k = kubectl
    k.apply(workload("Deployment", "front"))
    k.k("rollout", "status", "deployment/front", "--timeout=300s")
    # kubectl 1.20 would create it in policy/v1beta1, which Kubernetes no longer serves; a manifest names policy/v1.
    k.apply(json.dumps({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "front"},
                        "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "front"}}}}))
    wait_for("the budget's count", lambda: k.get("poddisruptionbudgets", "front")["status"]["currentHealthy"] == 2)
    select = ["--pod-selector=app=front", "--delete-emptydir-data" if not k.old else "--delete-local-data", "--ignore-daemonsets"]
    try:
        with k.background("drain", "berth-1", *select, "--timeout=300s") as drain:
            drain.wait_text("Cannot evict pod as it would violate the pod's disruption budget")
            assert "node/berth-1 cordoned" in drain.text()
        assert re.search(r"^berth-1 +Ready,SchedulingDisabled", k.out("get", "nodes"), re.M)
        assert len([p for p in k.pods_of("app=front") if is_ready(p)]) == 2
        k.k("delete", "poddisruptionbudget", "front")
        assert "evicted" in k.out("drain", "berth-1", *select, "--timeout=300s")
        replacement = wait_for("the replacements", lambda: [p for p in k.pods_of("app=front") if "deletionTimestamp" not in p["metadata"]])[0]
        k.wait_event("Pod", replacement["metadata"]["name"], "FailedScheduling", "1 node.s. were unschedulable")
    finally:
        assert k.out("uncordon", "berth-1") == "node/berth-1 uncordoned\n"
    k.k("rollout", "status", "deployment/front", "--timeout=300s")
