"""StatefulSets as Kubernetes documents them: updates, ordinals, retention, orphans, and `kubectl rollout`, with each kubectl."""
import json

import lab
from lab import is_ready, wait_for


def manifest(name="web", replicas=3, claims=False, **spec):
    body = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "serviceName": name,
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"terminationGracePeriodSeconds": 1, "containers": [{
                "name": "web", "image": lab.WEB, "env": [{"name": "COLOUR", "value": "red"}],
                "readinessProbe": {"httpGet": {"path": "/", "port": 80}, "periodSeconds": 1}}]}}, **spec}
    if claims:
        body["volumeClaimTemplates"] = [{"metadata": {"name": "data"}, "spec": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "16Mi"}}}}]
    return json.dumps({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name}, "spec": body})


def colours(k):
    """By ordinal; terminating replicas do not count."""
    return {p["metadata"]["name"]: p["spec"]["containers"][0]["env"][0]["value"] for p in k.pods_of("app=web")
            if "deletionTimestamp" not in p["metadata"]}


def status(k):
    return k.get("statefulsets", "web")["status"]


def patch(k, spec):
    k.k("patch", "sts/web", "--type=merge", "-p", json.dumps({"spec": spec}))


def test_partition_holds_members_back(kubectl):
    k = kubectl
    k.apply(manifest(updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}))
    k.wait_ready("web-0", "web-1", "web-2")
    k.k("set", "env", "sts/web", "COLOUR=blue")
    assert "partitioned roll out complete: 1 new pods have been updated" in k.out("rollout", "status", "sts/web", "--timeout=300s")
    assert colours(k) == {"web-0": "red", "web-1": "red", "web-2": "blue"}
    now = status(k)
    assert (now["currentReplicas"], now["updatedReplicas"]) == (2, 1) and now["currentRevision"] != now["updateRevision"]
    k.k("delete", "pod", "web-0")  # a pod below the partition is recreated at its old revision
    wait_for("web-0 again", lambda: colours(k).get("web-0") and is_ready(k.pod("web-0")))
    assert colours(k)["web-0"] == "red"
    patch(k, {"updateStrategy": {"rollingUpdate": {"partition": 0}}})
    wait_for("all to be blue", lambda: set(colours(k).values()) == {"blue"} and status(k).get("readyReplicas") == 3)
    wait_for("one revision", lambda: status(k)["currentRevision"] == status(k)["updateRevision"])


def test_on_delete_and_the_words_of_rollout(kubectl):
    k = kubectl
    k.apply(manifest(replicas=2, updateStrategy={"type": "OnDelete"}))
    k.wait_ready("web-0", "web-1")
    k.k("set", "env", "sts/web", "COLOUR=blue")
    wait_for("the new revision", lambda: status(k)["updateRevision"] != status(k)["currentRevision"])
    assert colours(k) == {"web-0": "red", "web-1": "red"}
    assert "rollout status is only available for RollingUpdate strategy type" in k.fails("rollout", "status", "sts/web")
    assert 'statefulsets.apps "web" pausing is not supported' in k.fails("rollout", "pause", "sts/web")
    k.k("delete", "pod", "web-1")
    wait_for("web-1 to be blue", lambda: colours(k).get("web-1") == "blue" and is_ready(k.pod("web-1")))
    assert colours(k)["web-0"] == "red"
    history = k.out("rollout", "history", "sts/web")
    assert history.split()[0] == "statefulset.apps/web" and [line.split()[0] for line in history.strip().splitlines()[-2:]] == ["1", "2"]
    assert "COLOUR:\tred" in k.out("rollout", "history", "sts/web", "--revision=1")
    assert k.out("rollout", "undo", "sts/web", "--to-revision=1") == "statefulset.apps/web rolled back\n"
    wait_for("the third revision", lambda: "3" in [line.split()[0] for line in k.out("rollout", "history", "sts/web").strip().splitlines()[2:]])
    patch(k, {"updateStrategy": {"type": "RollingUpdate"}})
    wait_for("all to be red", lambda: set(colours(k).values()) == {"red"} and status(k).get("readyReplicas") == 2)


def test_several_may_be_missing_and_ordinals_start_elsewhere(kubectl):
    k = kubectl
    k.apply(manifest(replicas=4, podManagementPolicy="Parallel", ordinals={"start": 5}))
    k.k("annotate", "sts/web", "berth.dev/max-unavailable=2")
    k.wait_ready("web-5", "web-6", "web-7", "web-8")
    pod = k.pod("web-6")
    assert pod["metadata"]["labels"]["apps.kubernetes.io/pod-index"] == "6"
    assert (pod["spec"]["hostname"], pod["spec"]["subdomain"]) == ("web-6", "web")
    with k.watch() as watch:
        k.k("set", "env", "sts/web", "COLOUR=blue")
        wait_for("all to be blue", lambda: list(colours(k).values()) == ["blue"] * 4 and status(k).get("readyReplicas") == 4)
        down, most = set(), 0
        for kind, p in watch.events:
            name = p["metadata"]["name"]
            down = down - {name} if kind != "DELETED" and is_ready(p) and "deletionTimestamp" not in p["metadata"] else down | {name}
            most = max(most, len(down))
    assert 1 <= most <= 2, most


def test_what_becomes_of_claims(kubectl):
    """All four combinations of persistentVolumeClaimRetentionPolicy."""
    k = kubectl
    combinations = [(scaled, deleted) for scaled in ("Retain", "Delete") for deleted in ("Retain", "Delete")]
    for scaled, deleted in combinations:
        name = f"s{scaled[0]}d{deleted[0]}".lower()
        k.apply(manifest(name, 2, claims=True, podManagementPolicy="Parallel",
                         persistentVolumeClaimRetentionPolicy={"whenScaled": scaled, "whenDeleted": deleted}))
    names = [f"s{scaled[0]}d{deleted[0]}".lower() for scaled, deleted in combinations]
    k.wait_ready(*(f"{name}-{i}" for name in names for i in range(2)))
    for name in names:
        k.k("scale", f"sts/{name}", "--replicas=1")
    for name in names:
        k.wait_gone("pods", f"{name}-1")
    wait_for("claims of removed members to go", lambda: not {"data-sddr-1", "data-sddd-1"} & set(k.names("persistentvolumeclaims")))
    assert {"data-srdr-1", "data-srdd-1"} <= set(k.names("persistentvolumeclaims"))
    k.k("delete", "sts", *names)
    # With whenDeleted: Delete, the claim of a replica removed earlier is deleted too, although whenScaled kept it.
    wait_for("claims of deleted sets to go",
             lambda: k.names("persistentvolumeclaims") == ["data-sddr-0", "data-srdr-0", "data-srdr-1"])


def test_orphans_are_taken_back(kubectl):
    k = kubectl
    k.apply(manifest(replicas=2))
    k.wait_ready("web-0", "web-1")
    before = {p["metadata"]["name"]: p["metadata"]["uid"] for p in k.pods_of("app=web")}
    k.k("delete", "sts", "web", "--cascade=false" if k.old else "--cascade=orphan")
    wait_for("pods without an owner", lambda: all("ownerReferences" not in p["metadata"] for p in k.pods_of("app=web")))
    k.apply(manifest(replicas=2))
    wait_for("their adoption", lambda: all("ownerReferences" in p["metadata"] for p in k.pods_of("app=web")))
    wait_for("the set to count them", lambda: status(k).get("readyReplicas") == 2)
    assert {p["metadata"]["name"]: p["metadata"]["uid"] for p in k.pods_of("app=web")} == before
    k.k("label", "pod", "web-1", "app=other", "--overwrite")  # the pod is released, and its name is occupied until it is deleted
    wait_for("its release", lambda: "ownerReferences" not in k.pod("web-1")["metadata"])
    assert k.pod("web-1")["metadata"]["uid"] == before["web-1"]
    k.k("delete", "pod", "web-1")
    wait_for("a new web-1", lambda: k.pod("web-1")["metadata"]["uid"] != before["web-1"] and is_ready(k.pod("web-1")))
