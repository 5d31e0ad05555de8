"""A set's states as recorded with a real Kubernetes 1.20: the same commands must lead to the same states of the set and its pods in
the same order, and to the same events. No state may occur that was not recorded; single ones may be missing, because the
controller can skip states between two syncs, there as here."""
import json

import lab
from lab import columns, is_ready, wait_for

SET = json.dumps({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "web"}, "spec": {
    "replicas": 2, "serviceName": "web", "selector": {"matchLabels": {"app": "web"}},
    "template": {"metadata": {"labels": {"app": "web"}},
                 "spec": {"terminationGracePeriodSeconds": 1, "containers": [{"name": "c", "image": lab.WEB}]}},
    "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "16Mi"}}}}]}})
ANNOTATE = ("patch", "sts", "web", "--type=json", "-p",
            json.dumps([{"op": "add", "path": "/spec/template/metadata/annotations", "value": {"x": "y"}}]))


def starts(pod, revision):
    return [f"{pod} {state} {revision}" for state in ("Pending", "Running", "Running ready")]


def ends(pod, revision):
    return [f"{pod} {state} {revision}" for state in ("terminating ready", "terminating", "gone")]


# The command; then, without repetitions, the set's status (replicas, ready, current, updated, generation, observed) and the pods.
LIFE = [
    (("apply", "-f", "-"), ["0 0 0 0 g1 o0", "1 0 1 1 g1 o1", "2 1 2 2 g1 o1", "2 2 2 2 g1 o1"], starts("web-0", "A") + starts("web-1", "A")),
    (("delete", "pod", "web-1", "--wait=false"), ["2 2 1 1 g1 o1", "2 1 1 1 g1 o1", "2 1 2 2 g1 o1", "2 2 2 2 g1 o1"],
     ends("web-1", "A") + starts("web-1", "A")),
    (ANNOTATE, ["2 2 2 2 g2 o1", "2 2 1 0 g2 o2 rolling", "2 1 1 0 g2 o2 rolling", "2 1 1 1 g2 o2 rolling", "2 2 0 1 g2 o2 rolling",
                "2 1 0 1 g2 o2 rolling", "2 1 0 2 g2 o2 rolling", "2 2 2 2 g2 o2"],
     ends("web-1", "A") + starts("web-1", "B") + ends("web-0", "A") + starts("web-0", "B")),
    (("scale", "sts/web", "--replicas=3"), ["2 2 2 2 g3 o2", "3 2 3 3 g3 o3", "3 3 3 3 g3 o3"], starts("web-2", "B")),
    (("scale", "sts/web", "--replicas=1"), ["3 3 3 3 g4 o3", "3 3 2 2 g4 o4", "3 2 2 2 g4 o4", "2 2 1 1 g4 o4", "2 1 1 1 g4 o4", "1 1 1 1 g4 o4"],
     ends("web-2", "B") + ends("web-1", "B")),
]
EVENTS = {
    **{f"SuccessfulCreate: create Claim data-web-{i} Pod web-{i} in StatefulSet web success": 1 for i in range(3)},
    "SuccessfulCreate: create Pod web-0 in StatefulSet web successful": 2,
    "SuccessfulCreate: create Pod web-1 in StatefulSet web successful": 3,
    "SuccessfulCreate: create Pod web-2 in StatefulSet web successful": 1,
    "SuccessfulDelete: delete Pod web-0 in StatefulSet web successful": 1,
    "SuccessfulDelete: delete Pod web-1 in StatefulSet web successful": 2,
    "SuccessfulDelete: delete Pod web-2 in StatefulSet web successful": 1,
}


def said_by_set(thing):
    status = thing.get("status", {})
    numbers = [str(status.get(f, 0)) for f in ("replicas", "readyReplicas", "currentReplicas", "updatedReplicas")]
    rolling = " rolling" if status.get("currentRevision") != status.get("updateRevision") else ""
    return f"{' '.join(numbers)} g{thing['metadata']['generation']} o{status.get('observedGeneration', 0)}{rolling}"


def said_by_pod(kind, pod, letters):
    letter = letters.setdefault(pod["metadata"]["labels"]["controller-revision-hash"], "ABC"[len(letters)])
    state = "terminating" if "deletionTimestamp" in pod["metadata"] else pod["status"]["phase"]
    return f"{pod['metadata']['name']} {'gone' if kind == 'DELETED' else state + ' ready' * is_ready(pod)} {letter}"


def changes(lines, before):
    return [line for line, last in zip(lines, [before, *lines]) if line != last]


def in_order(seen, recorded):
    """True if `seen` is a subsequence of `recorded`."""
    rest = iter(recorded)
    return all(line in rest for line in seen)


def test_a_set_lives_as_recorded(session):
    k, letters, set_was, pod_was = session, {}, "", ""
    with k.watch("statefulsets") as sets, k.watch() as pods:
        for command, set_lines, pod_lines in LIFE:
            begin = len(sets.events), len(pods.events)
            k.k(*command, stdin=SET if command[0] == "apply" else None)

            def seen():
                return (changes([said_by_set(thing) for _, thing in sets.events[begin[0]:]], set_was),
                        changes([said_by_pod(kind, pod, letters) for kind, pod in pods.events[begin[1]:]], pod_was))
            wait_for(f"the end of {command}", lambda: [lines[-1] for lines in seen()] == [set_lines[-1], pod_lines[-1]])
            by_set, by_pods = seen()
            set_was, pod_was = set_lines[-1], pod_lines[-1]
            assert in_order(by_set, set_lines), f"{command}: {by_set}, recorded {set_lines}"
            assert in_order(by_pods, pod_lines), f"{command}: {by_pods}, recorded {pod_lines}"
            # Each of these states is a separate write, so a watch shows all of them.
            certain = [line for line in pod_lines if line.split()[1] in ("Pending", "gone") or "ready" in line]
            assert in_order(certain, by_pods), f"{command}: {by_pods}, recorded {pod_lines}"
    assert [row[0] for row in columns(k.out("get", "pvc"))[1:]] == ["data-web-0", "data-web-1", "data-web-2"]

    def told():
        mine = [e for e in k.list("events")["items"] if e["involvedObject"]["kind"] == "StatefulSet"]
        assert {e["source"]["component"] for e in mine} == {"statefulset-controller"}
        counts = {}
        for e in mine:
            counts[f"{e['reason']}: {e['message']}"] = counts.get(f"{e['reason']}: {e['message']}", 0) + e["count"]
        return counts
    wait_for("the events", lambda: told() == EVENTS)
    # The recording of the rollback ends with the set's own deletion.
    k.k("rollout", "undo", "sts/web")
    wait_for("web-0 as it first was", lambda: is_ready(k.pod("web-0")) and "annotations" not in k.pod("web-0")["metadata"])
    k.k("delete", "sts", "web")
    wait_for("no pods, no revisions", lambda: k.names("pods") == k.names("controllerrevisions") == [])
    assert k.names("persistentvolumeclaims") == ["data-web-0", "data-web-1", "data-web-2"]
