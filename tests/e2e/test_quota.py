"""Limit ranges and quotas: created with kubectl, and their effects on users."""
import json
import re

import lab
from lab import wait_for


def pod(name, **resources):
    container = {"name": "c", "image": lab.WEB, "command": ["sleep", "1000"], "resources": resources}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
                       "spec": {"terminationGracePeriodSeconds": 0, "containers": [container]}})


def used(session, name):
    return session.get("resourcequotas", name).get("status", {}).get("used")


def test_limit_range(kubectl):
    kubectl.apply("""
apiVersion: v1
kind: LimitRange
metadata: {name: bounds}
spec:
  limits:
  - {type: Container, default: {cpu: 200m, memory: 64Mi}, defaultRequest: {cpu: 10m}, max: {cpu: "1"}}
  - {type: PersistentVolumeClaim, max: {storage: 1Gi}}
""")
    described = kubectl.out("describe", "limits", "bounds")
    assert re.search(r"Container +cpu +- +1 +10m +200m +-", described), described
    kubectl.apply(pod("small"))
    made = kubectl.pod("small")
    assert made["spec"]["containers"][0]["resources"] == {"limits": {"cpu": "200m", "memory": "64Mi"}, "requests": {"cpu": "10m", "memory": "64Mi"}}
    assert made["metadata"]["annotations"]["kubernetes.io/limit-ranger"] == (
        "LimitRanger plugin set: cpu, memory request for container c; cpu, memory limit for container c")
    refused = kubectl.fails("apply", "-f", "-", stdin=pod("big", limits={"cpu": "2"}))
    assert 'pods "big" is forbidden: maximum cpu usage per Container is 1, but limit is 2' in refused, refused


def test_quota(kubectl):
    kubectl.k("create", "quota", "few", "--hard=pods=2,requests.cpu=100m,count/deployments.apps=1,services=1")
    wait_for("a counted quota", lambda: used(kubectl, "few") == {"pods": "0", "requests.cpu": "0", "count/deployments.apps": "0", "services": "0"})
    refused = kubectl.fails("apply", "-f", "-", stdin=pod("none"))
    assert 'pods "none" is forbidden: failed quota: few: must specify requests.cpu for: c' in refused, refused
    kubectl.apply(pod("one", requests={"cpu": "60m"}))
    refused = kubectl.fails("apply", "-f", "-", stdin=pod("two", requests={"cpu": "50m"}))
    assert "exceeded quota: few, requested: requests.cpu=50m, used: requests.cpu=60m, limited: requests.cpu=100m" in refused, refused
    kubectl.wait_ready("one")
    table = kubectl.out("get", "quota", "few")
    assert "requests.cpu: 60m/100m" in table and "pods: 1/2" in table, table
    described = kubectl.out("describe", "quota", "few")
    assert re.search(r"requests\.cpu +60m +100m", described), described
    kubectl.k("delete", "pod", "one")
    wait_for("room again", lambda: used(kubectl, "few")["pods"] == "0")

    # A deployment gets as many pods as the quota allows; its ReplicaSet reports why there are no more.
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {
        "replicas": 5, "selector": {"matchLabels": {"app": "d"}}, "template": {"metadata": {"labels": {"app": "d"}}, "spec": {
            "terminationGracePeriodSeconds": 0, "containers": [
                {"name": "c", "image": lab.WEB, "command": ["sleep", "1000"], "resources": {"requests": {"cpu": "1m"}}}]}}}}
    kubectl.apply(json.dumps(deployment))
    wait_for("two pods", lambda: len(kubectl.pods_of("app=d")) == 2 and used(kubectl, "few")["pods"] == "2")
    name = kubectl.names("replicasets")[0]
    assert "exceeded quota: few, requested: pods=1, used: pods=2, limited: pods=2" in kubectl.wait_event("ReplicaSet", name, "FailedCreate", "exceeded")
    assert len(kubectl.pods_of("app=d")) == 2
    deployment["metadata"]["name"] = "e"
    assert "count/deployments.apps=1" in kubectl.fails("apply", "-f", "-", stdin=json.dumps(deployment))
