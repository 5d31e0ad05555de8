"""Priorities, affinity, spreading and scheduling gates on one node: which pods run, which wait, and their messages."""
import json

import lab
from lab import columns, wait_for

NO_VICTIMS = "no new claims to deallocate, preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."


def pod(name, app="a", cpu=None, **spec):
    resources = {"requests": {"cpu": cpu}} if cpu else {}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": app}},
                       "spec": {"terminationGracePeriodSeconds": 1, "containers": [{"name": "c", "image": lab.WEB, "resources": resources}], **spec}})


def waits(k, name, message):
    """Waits until the pod is Pending with exactly this message in its condition and its event."""
    def said():
        conditions = k.pod(name)["status"].get("conditions", [])
        return next((c["message"] for c in conditions if c["type"] == "PodScheduled" and c["status"] == "False"), None)
    assert wait_for(f"the reason why {name} waits", said) == message
    assert columns(k.out("get", "pod", name))[1][2] == "Pending"
    assert ("FailedScheduling", message) in k.events("Pod", name)


def test_a_more_important_pod_takes_the_place(session):
    k = session
    node = k.cluster.api("/api/v1/nodes")["items"][0]
    cpu = node["status"]["allocatable"]["cpu"]
    half = f"{int((int(cpu[:-1]) if cpu.endswith('m') else 1000 * int(cpu)) * 0.6)}m"
    high = f"{k.ns}-high"
    k.k("create", "priorityclass", high, "--value=1000", "--description=for tests")
    try:
        rows = columns(k.out("get", "priorityclasses", high))
        assert rows[0] == ["NAME", "VALUE", "GLOBAL-DEFAULT", "AGE", "PREEMPTIONPOLICY"]
        assert rows[1][:3] == [high, "1000", "false"] and rows[1][4] == "PreemptLowerPriority"
        assert {"system-node-critical", "system-cluster-critical"} <= {r[0] for r in columns(k.out("get", "pc"))}
        k.apply(pod("low", cpu=half))
        k.wait_ready("low")
        k.apply(pod("same", cpu=half))
        waits(k, "same", "0/1 nodes are available: 1 Insufficient cpu. " + NO_VICTIMS)
        k.k("delete", "pod", "same")
        with k.watch() as watch:
            k.apply(pod("important", cpu=half, priorityClassName=high))
            k.wait_ready("important")
            wait_for("the watch to see it", lambda: watch.ready("important"))
            nominated = watch.first("important", lambda _, p: p["status"].get("nominatedNodeName") == node["metadata"]["name"])
            marked = watch.first("low", lambda _, p: any(c["type"] == "DisruptionTarget" and c["reason"] == "PreemptionByScheduler"
                                                         for c in p["status"]["conditions"]))
            assert marked < watch.terminating("low") and nominated < watch.ready("important")
        important = k.pod("important")
        assert important["spec"]["priority"] == 1000 and "nominatedNodeName" not in important["status"]
        k.wait_event("Pod", "low", "Preempted", f"^Preempted by pod {important['metadata']['uid']} on node {node['metadata']['name']}$")
        assert ("FailedScheduling", "0/1 nodes are available: 1 Insufficient cpu.") in k.events("Pod", "important")
        k.wait_gone("pods", "low")
        k.k("delete", "pod", "important")
    finally:
        k.k("delete", "priorityclass", high)


def test_affinity_and_spread_keep_pods_waiting(session):
    k = session
    selector = {"matchLabels": {"app": "a"}}
    alone = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "kubernetes.io/hostname", "labelSelector": selector}]}}
    k.apply(pod("first", affinity=alone))
    k.wait_ready("first")
    k.apply(pod("second", affinity=alone))
    waits(k, "second", "0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules. " + NO_VICTIMS)
    k.apply(pod("third"))
    waits(k, "third", "0/1 nodes are available: 1 node(s) didn't satisfy existing pods anti-affinity rules. " + NO_VICTIMS)
    k.k("delete", "pod", "third", "first")
    k.wait_ready("second")

    even = [{"maxSkew": 1, "minDomains": 2, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule",
             "labelSelector": {"matchLabels": {"app": "b"}}}]
    k.apply(pod("one", "b", topologySpreadConstraints=even))
    k.wait_ready("one")
    k.apply(pod("two", "b", topologySpreadConstraints=even))
    waits(k, "two", "0/1 nodes are available: 1 node(s) didn't match pod topology spread constraints. " + NO_VICTIMS)


def test_a_gate_holds_a_pod_back(session):
    k = session
    k.apply(pod("gated", schedulingGates=[{"name": "example.com/later"}]))
    assert columns(k.out("get", "pod", "gated"))[1][2] == "SchedulingGated"
    k.k("patch", "pod", "gated", "--type=json", "-p", '[{"op":"remove","path":"/spec/schedulingGates"}]')
    k.wait_ready("gated")
