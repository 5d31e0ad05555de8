"""Metrics of pods, and autoscalers that use them."""
import json
import re
import time

import lab
from lab import wait_for

BUSY = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "busy"}, "spec": {
    "replicas": 1, "selector": {"matchLabels": {"app": "busy"}}, "template": {"metadata": {"labels": {"app": "busy"}}, "spec": {
        "terminationGracePeriodSeconds": 0, "containers": [
            {"name": "c", "image": lab.WEB, "command": ["sh", "-c", "while :; do :; done"],
             "resources": {"requests": {"cpu": "10m", "memory": "8Mi"}, "limits": {"cpu": "100m"}}}]}}}}


def start(kubectl):
    """A pod that has used CPU for long enough to be measured."""
    kubectl.apply(json.dumps(BUSY))
    pod = wait_for("a pod", lambda: kubectl.pods_of("app=busy")[0]["metadata"]["name"])
    kubectl.wait_ready(pod)
    since = time.monotonic()
    wait_for("two seconds of readiness", lambda: time.monotonic() - since > 2.5)
    return pod


def autoscaler(kubectl, version="v2"):
    return kubectl.cluster.api(f"/apis/autoscaling/{version}/namespaces/{kubectl.ns}/horizontalpodautoscalers/busy")


def condition(kubectl, kind):
    return next((c for c in autoscaler(kubectl).get("status", {}).get("conditions", []) if c["type"] == kind), {})


def test_top_and_autoscale(kubectl):
    pod = start(kubectl)
    top = kubectl.out("top", "pods")
    found = re.search(rf"{pod} +(\d+)m +(\d+)Mi", top)
    assert found and 30 <= int(found.group(1)) <= 200, top
    assert re.search(r"c +\d+m +\d+Mi", kubectl.out("top", "pod", pod, "--containers"))
    assert re.search(r"\S+ +\d+m +\d+% +\d+Mi +\d+%", kubectl.out("top", "nodes"))

    kubectl.k("autoscale", "deployment", "busy", "--min=1", "--max=3", "--cpu-percent=50")
    kubectl.wait_event("HorizontalPodAutoscaler", "busy", "SuccessfulRescale", "New size: 3; reason: cpu resource utilization")
    wait_for("three pods", lambda: len(kubectl.pods_of("app=busy")) == 3)
    wait_for("its status", lambda: condition(kubectl, "ScalingLimited").get("reason") == "TooManyReplicas")
    row = kubectl.out("get", "hpa", "busy")
    assert re.search(r"busy +Deployment/busy +cpu: \d+%/50% +1 +3 +\d", row), row
    # kubectl 1.20 first asks for versions that are not served any more, and then shows the first one's result.
    expected = "Target CPU utilization:" if kubectl.old else "the desired replica count is more than the maximum replica count"
    assert expected in kubectl.out("describe", "hpa", "busy")
    # Both API versions show the same object.
    old = autoscaler(kubectl, "v1")
    assert old["spec"]["targetCPUUtilizationPercentage"] == 50 and old["spec"]["maxReplicas"] == 3
    assert "TooManyReplicas" in old["metadata"]["annotations"]["autoscaling.alpha.kubernetes.io/conditions"]
    assert autoscaler(kubectl)["spec"]["metrics"][0]["resource"]["target"] == {"type": "Utilization", "averageUtilization": 50}


def test_autoscaler_of_nothing(session):
    session.apply("""
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: busy}
spec:
  maxReplicas: 3
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: nowhere}
  behavior: {scaleDown: {policies: [{type: Pods, value: 1, periodSeconds: 60}]}}
""")
    session.wait_event("HorizontalPodAutoscaler", "busy", "FailedGetScale", 'deployments.apps "nowhere" not found')
    wait_for("the condition", lambda: condition(session, "AbleToScale").get("reason") == "FailedGetScale")
    assert re.search(r"busy +Deployment/nowhere +cpu: <unknown>/80% +1 +3 +0", session.out("get", "hpa"))
    refused = session.fails("patch", "hpa", "busy", "-p", '{"spec":{"maxReplicas":0}}')
    assert "spec.maxReplicas: Required value: must be set and greater than 0" in refused, refused
