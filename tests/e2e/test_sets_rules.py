"""StatefulSet rules that only show with an obstacle: a claim being deleted, an unhealthy replica, one that ends again and
again."""
import datetime
import json
import re

import lab
from lab import Failed, is_ready, wait_for

HOLD = "berth.test/hold"  # our finalizer: objects with it stay until the test removes it


def manifest(replicas, claims=False, options=None, pod=None, **spec):
    """A set `web`; its replicas are ready while they have no file /tmp/ill."""
    container = {"name": "web", "image": lab.WEB, "env": [{"name": "COLOUR", "value": "red"}],
                 "readinessProbe": {"exec": {"command": ["test", "!", "-e", "/tmp/ill"]}, "periodSeconds": 1, "failureThreshold": 1,
                                    "timeoutSeconds": 30}}
    body = {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "serviceName": "web", **spec,
            "template": {"metadata": {"labels": {"app": "web"}},
                         "spec": {"terminationGracePeriodSeconds": 1, "containers": [container], **(pod or {})}}}
    if claims:
        container["volumeMounts"] = [{"name": "data", "mountPath": "/var/www/html"}]
        body["volumeClaimTemplates"] = [{"metadata": {"name": "data"}, "spec": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "16Mi"}}}}]
    return json.dumps({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "web", "annotations": options or {}},
                       "spec": body})


def patch(k, what, change):
    k.k("patch", what, "--type=merge", "-p", json.dumps(change))


def status(k):
    return k.get("statefulsets", "web")["status"]


def wait_said(k, reason, text):
    """Waits until the set reports that it waits, and for what: it has been synced, and does nothing without a change."""
    def probe():
        said = next(c for c in status(k)["conditions"] if c["type"] == "Progressing")
        return said if said["reason"] == reason and re.search(text, said["message"]) else None
    try:
        return wait_for(f"{reason}: {text}", probe)
    except (Failed, StopIteration) as problem:
        raise Failed(f"{problem}; the set says {status(k)}") from None


def uids(k):
    return {p["metadata"]["name"]: p["metadata"]["uid"] for p in k.list("pods")["items"]}


def deletions(watch):
    """The names of deleted pods, in order."""
    asked = []
    for kind, pod in watch.events:
        if kind != "DELETED" and "deletionTimestamp" in pod["metadata"] and pod["metadata"]["name"] not in asked:
            asked.append(pod["metadata"]["name"])
    return asked


def staying(k):
    return [p["metadata"]["name"] for p in k.list("pods")["items"] if "deletionTimestamp" not in p["metadata"]]


def claim(k):
    return k.get("persistentvolumeclaims", "data-web-0")["metadata"]


def hold_and_delete(k, what):
    patch(k, what, {"metadata": {"finalizers": [HOLD]}})
    k.k("delete", what, "--wait=false")


def let_go(k, what):
    patch(k, what, {"metadata": {"finalizers": None}})


def test_a_claim_that_is_being_deleted_is_waited_for(kubectl):
    k = kubectl
    k.apply(manifest(1, claims=True))
    k.wait_ready("web-0")
    k.exec("web-0", "echo old > /var/www/html/old")
    before, pod = claim(k)["uid"], uids(k)["web-0"]
    k.k("patch", "pvc/data-web-0", "--type=json", "-p", json.dumps([{"op": "add", "path": "/metadata/finalizers/-", "value": HOLD}]))
    k.k("delete", "pvc/data-web-0", "--wait=false")
    assert re.search(r"^data-web-0 +Terminating ", k.out("get", "pvc"), re.M)
    assert "kubernetes.io/pvc-protection" in claim(k)["finalizers"] and is_ready(k.pod("web-0"))
    with k.watch() as watch:
        k.k("delete", "pod", "web-0")
        wait_said(k, "ClaimTerminating", 'web-0 needs the claim "data-web-0", which is being deleted')
        k.wait_event("StatefulSet", "web", "FailedCreate",
                     "^create Pod web-0 in StatefulSet web failed error: pvc data-web-0 is being deleted$")
        wait_for("nothing but our finalizer", lambda: claim(k)["finalizers"] == [HOLD])
        assert k.names("pods") == [] and claim(k)["uid"] == before
        assert not any(kind == "ADDED" for kind, _ in watch.events)
    let_go(k, "pvc/data-web-0")
    k.wait_ready("web-0")
    assert claim(k)["uid"] != before and uids(k)["web-0"] != pod
    assert "old" not in k.exec("web-0", "ls /var/www/html").split()


def test_a_pending_pod_gets_its_claim_back(kubectl):
    k = kubectl
    k.apply(manifest(1, claims=True, pod={"schedulingGates": [{"name": "berth.test/gate"}]}))
    pod = wait_for("web-0", lambda: uids(k)["web-0"])
    first = claim(k)["uid"]
    k.k("delete", "pvc", "data-web-0", "--wait=false")
    second = wait_for("another claim", lambda: claim(k)["uid"] != first and claim(k)["uid"])
    # The same with a claim whose deletion takes time: the pod, which could be scheduled now, waits for it.
    hold_and_delete(k, "pvc/data-web-0")
    k.k("patch", "pod", "web-0", "--type=json", "-p", json.dumps([{"op": "remove", "path": "/spec/schedulingGates"}]))
    k.wait_event("Pod", "web-0", "FailedScheduling", 'persistentvolumeclaim "data-web-0" is being deleted')
    assert claim(k)["uid"] == second and k.pod("web-0")["status"]["phase"] == "Pending"
    let_go(k, "pvc/data-web-0")
    k.wait_ready("web-0")
    assert claim(k)["uid"] not in (first, second) and uids(k) == {"web-0": pod}


def ill(k, *pods):
    for pod in pods:
        k.exec(pod, "touch /tmp/ill")
    for pod in pods:
        wait_for(f"{pod} not to be ready", lambda pod=pod: not is_ready(k.pod(pod)))


def heal(k, pod):
    k.exec(pod, "rm /tmp/ill")


def test_scaling_down_past_ill_members(session):
    """From the last ordinal down, once web-0 is ready; an unhealthy replica waits for unhealthy ones of lower ordinal."""
    k = session
    k.apply(manifest(4))
    k.wait_ready("web-0", "web-1", "web-2", "web-3")
    ill(k, "web-0", "web-1", "web-2")
    with k.watch() as watch:
        k.k("scale", "sts/web", "--replicas=1")
        wait_for("the set to have looked", lambda: status(k)["observedGeneration"] == 2)
        assert staying(k) == ["web-0", "web-1", "web-2", "web-3"], "web-0, which stays, is not ready"
        heal(k, "web-0")
        wait_said(k, "ScalingDown", r"^web-2 .*is to be removed, after web-1 .*has become ready or gone$")
        assert staying(k) == k.names("pods") == ["web-0", "web-1", "web-2"]
        heal(k, "web-1")
        k.wait_gone("pods", "web-1")
        wait_for("the watch to see it", lambda: watch.deleted("web-1"))
        assert deletions(watch) == ["web-3", "web-2", "web-1"]
        assert watch.deleted("web-3") < watch.terminating("web-2") < watch.deleted("web-2") < watch.terminating("web-1")
        assert not is_ready(watch.events[watch.terminating("web-2")][1]), "it went as it was"
    assert is_ready(k.pod("web-0"))


def test_min_ready_seconds(session):
    k = session
    k.apply(manifest(2, minReadySeconds=3600))
    k.wait_ready("web-0")
    wait_said(k, "MinReadySeconds", "^waiting for web-0 .*, which is ready, to stay so until 20")
    now = status(k)
    assert (now["readyReplicas"], now["availableReplicas"]) == (1, 0) and k.names("pods") == ["web-0"]
    patch(k, "sts/web", {"spec": {"minReadySeconds": 1}})
    wait_for("both to be available in their time", lambda: status(k)["availableReplicas"] == 2)
    before = uids(k)
    with k.watch() as watch:  # an update waits too
        k.apply(manifest(2, minReadySeconds=3600).replace("red", "blue"))
        wait_said(k, "MinReadySeconds", "^waiting for web-0 ")
        now = status(k)
        assert now["updateRevision"] != now["currentRevision"] and "updatedReplicas" not in now and now["availableReplicas"] == 0
        assert uids(k) == before and staying(k) == ["web-0", "web-1"]
        patch(k, "sts/web", {"spec": {"minReadySeconds": 0}})
        k.k("rollout", "status", "sts/web", "--timeout=300s")
        wait_for("the watch to see it", lambda: watch.deleted("web-0"))
        assert deletions(watch) == ["web-1", "web-0"]
    assert not set(before.values()) & set(uids(k).values())
    wait_for("both to be available", lambda: status(k)["availableReplicas"] == 2)


def seconds(stamp):
    return datetime.datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()


def test_a_member_that_ends_again_and_again_is_held_back(session):
    """At once the first time, then after 1 s, 2 s and so on."""
    k = session
    k.apply(manifest(1))
    for times in (1, 2, 3):
        k.wait_ready("web-0")
        before = uids(k)["web-0"]
        with k.watch() as pods, k.watch("statefulsets") as sets:
            patch(k, "pod/web-0", {"spec": {"activeDeadlineSeconds": 1}})

            def end():
                return pods.events[pods.first("web-0", lambda _, pod: pod["status"]["phase"] == "Failed")][1]
            failed = wait_for("its end", end)
            # The replacement is created as soon as no container of the pod runs, and not before.
            assert [list(c["state"]) for c in failed["status"]["containerStatuses"]] == [["terminated"]], failed["status"]
            if times > 1:
                told = k.wait_event("StatefulSet", "web", "BackOff", rf"^web-0 .* ended \(DeadlineExceeded\) {times} times of late")
                wait_for("the set to say so", lambda told=told: 0 <= sets.first("web", lambda _, s: any(
                    (c["status"], c["reason"], c["message"]) == ("False", "BackOff", told) for c in s["status"].get("conditions", []))))
                until = re.search(r"is replaced at (\S+); kubectl delete pod web-0 does it now$", told).group(1)
                ended = next(c["lastTransitionTime"] for c in failed["status"]["conditions"] if c["type"] == "Ready")
                assert seconds(until) - seconds(ended) >= 2 ** (times - 2)
            if times == 3:
                k.k("delete", "pod", "web-0")
            wait_for("another", lambda before=before: uids(k)["web-0"] != before)
            if times == 2:
                assert k.pod("web-0")["metadata"]["creationTimestamp"] >= until
    k.wait_ready("web-0")


def test_recreate_ends_all_before_it_starts_one(kubectl):
    k = kubectl
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}
    k.apply(manifest(3, options={"berth.dev/update-strategy": "Recreate"}, podManagementPolicy="Parallel", updateStrategy=rolling))
    k.wait_ready("web-0", "web-1", "web-2")
    before = uids(k)
    patch(k, "pod/web-2", {"metadata": {"finalizers": [HOLD]}})
    with k.watch() as watch:
        k.k("set", "env", "sts/web", "COLOUR=blue")
        k.wait_gone("pods", "web-1")
        wait_said(k, "Recreating", r"^waiting for web-2 \(revision web-\w+\) to end before the new ones start$")
        assert uids(k) == {name: before[name] for name in ("web-0", "web-2")}
        let_go(k, "pod/web-2")
        wait_for("both anew", lambda: all(uids(k)[name] != before[name] for name in ("web-1", "web-2")))
        k.wait_ready("web-1", "web-2")
        def when(wanted):
            return [i for i, (kind, _) in enumerate(watch.events) if kind == wanted]
        wait_for("the watch to see it", lambda: len(when("ADDED")) == 2)
        gone, made = when("DELETED"), when("ADDED")
    assert len(gone) == 2 and max(gone) < min(made)
    assert uids(k)["web-0"] == before["web-0"], "it is below the partition"
    colour = {p["metadata"]["name"]: p["spec"]["containers"][0]["env"][0]["value"] for p in k.list("pods")["items"]}
    assert colour == {"web-0": "red", "web-1": "blue", "web-2": "blue"}
