"""StatefulSet features beyond Kubernetes, with real containers. See docs/howto/stateful-sets.md."""
import json

import pytest

import lab
from lab import is_ready, wait_for

SET = """
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: NAME
  annotations: ANNOTATIONS
spec:
  replicas: REPLICAS
  serviceName: web
  podManagementPolicy: OrderedReady
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}}
    spec:
      terminationGracePeriodSeconds: 2
      containers:
      - name: web
        image: IMAGE
        readinessProbe: {httpGet: {path: /, port: 80}, periodSeconds: 1}
        volumeMounts: [{name: data, mountPath: /var/www/html}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: SIZE}}}
"""


def manifest(name, replicas=3, image=lab.WEB, size="32Mi", **annotations):
    keys = {"berth.dev/" + key.replace("_", "-"): value for key, value in annotations.items()}
    return (SET.replace("NAME", name).replace("ANNOTATIONS", json.dumps(keys)).replace("REPLICAS", str(replicas))
            .replace("IMAGE", image).replace("SIZE", size))


@pytest.fixture
def s(cluster):
    cluster.image(lab.WEB)
    session = lab.Session(cluster, lab.newest_kubectl())
    yield session
    session.close()


def condition(s, name, kind="Progressing"):
    return next((c for c in s.get("statefulsets", name)["status"].get("conditions", []) if c["type"] == kind), {})


def members(s, name):
    return sorted(p["metadata"]["name"] for p in s.pods_of(f"app={name}"))


def test_a_broken_rollout_is_repaired(s):
    s.apply(manifest("web"))
    s.wait_ready("web-0", "web-1", "web-2")
    s.k("set", "image", "sts/web", "web=berth.test/absent:1")
    wait_for("the trouble to be named", lambda: condition(s, "web").get("reason") == "ImagePullBackOff")
    said = condition(s, "web")
    assert said["status"] == "False" and "web-2" in said["message"] and "berth.test/absent:1" in said["message"], said
    s.k("set", "image", "sts/web", f"web={lab.WEB}")
    s.k("rollout", "status", "sts/web", "--timeout=60s")
    s.wait_ready("web-0", "web-1", "web-2")
    wait_for("completion to be told", lambda: condition(s, "web").get("reason") == "Complete")


def assert_ends_in_order(watch):
    """Checks that each replica was gone before the next was deleted."""
    assert [pod["metadata"]["name"] for kind, pod in watch.events if kind == "DELETED"] == ["web-2", "web-1", "web-0"]
    order = [(kind, pod["metadata"]["name"]) for kind, pod in watch.events]
    for name, before in (("web-1", "web-2"), ("web-0", "web-1")):
        first_asked = next(i for i, (kind, pod) in enumerate(watch.events)
                           if pod["metadata"]["name"] == name and pod["metadata"].get("deletionTimestamp"))
        assert order.index(("DELETED", before)) < first_asked, f"{name} was asked to end before {before} was gone"


def test_a_set_ends_in_order(kubectl):
    s = kubectl
    s.apply(manifest("web", ordered_teardown="true"))
    s.wait_ready("web-0", "web-1", "web-2")
    with s.watch() as watch:
        s.k("delete", "sts", "web")
        wait_for("the watch to see the end", lambda: watch.deleted("web-0"))
        assert_ends_in_order(watch)
    assert s.names("persistentvolumeclaims") == ["data-web-0", "data-web-1", "data-web-2"]


def test_a_namespace_ends_its_set_in_order(s):
    s.apply(manifest("web", ordered_teardown="true"))
    s.wait_ready("web-0", "web-1", "web-2")
    with s.watch() as watch:
        s.k("delete", "namespace", s.ns, "--timeout=300s")
        wait_for("the watch to see the end", lambda: watch.deleted("web-0"))
        assert_ends_in_order(watch)


def test_chosen_ordinals_are_skipped_and_differ(s):
    s.apply(manifest("web", skip_ordinals="1", ordinal_overrides=json.dumps(
        {"2": {"containers": [{"name": "web", "env": [{"name": "ROLE", "value": "reader"}]}]}})))
    s.wait_ready("web-0", "web-2", "web-3")
    assert members(s, "web") == ["web-0", "web-2", "web-3"]
    assert s.exec("web-2", "echo $ROLE").strip() == "reader"
    assert s.exec("web-3", "echo x$ROLE").strip() == "x"
    s.k("annotate", "sts/web", "berth.dev/skip-ordinals=1,2", "--overwrite")
    wait_for("web-2 to go and web-4 to come", lambda: members(s, "web") == ["web-0", "web-3", "web-4"])
    refused = s.fails("annotate", "sts/web", "berth.dev/skip-ordinals=two", "--overwrite")
    assert "metadata.annotations[berth.dev/skip-ordinals]: Invalid value" in refused


def test_claim_templates_grow(s):
    s.apply(manifest("web", replicas=2, claim_template_updates="true"))
    s.wait_ready("web-0", "web-1")
    s.exec("web-0", "echo kept > /var/www/html/kept")
    s.apply(manifest("web", replicas=2, size="64Mi", claim_template_updates="true"))
    wait_for("the claims to grow", lambda: [c["status"]["capacity"]["storage"] for c in s.list("persistentvolumeclaims")["items"]] == ["64Mi"] * 2)
    wait_for("the change to be told complete", lambda: condition(s, "web", "berth.dev/ClaimTemplates").get("status") == "True")
    s.wait_ready("web-0", "web-1")
    assert int(s.exec("web-0", "df -m --output=size /var/www/html | tail -1")) > 40
    assert s.exec("web-0", "cat /var/www/html/kept").strip() == "kept"
    refused = s.fails("apply", "-f", "-", stdin=manifest("web", replicas=2, size="16Mi", claim_template_updates="true"))
    assert "must not be less than 64Mi" in refused


def test_members_that_were_ready_start_together_after_an_outage(s):
    s.apply(manifest("web"))
    s.wait_ready("web-0", "web-1", "web-2")
    before = {p["metadata"]["uid"] for p in s.list("pods")["items"]}
    with s.watch() as watch:
        # Do not wait for the deletion: kubectl could see only the new pod of that name, and wait for its deletion.
        s.k("delete", "pods", "--all", "--wait=false")
        wait_for("three new members", lambda: len([p for p in s.list("pods")["items"]
                                                   if p["metadata"]["uid"] not in before and is_ready(p)]) == 3)
        made = [i for i, (kind, pod) in enumerate(watch.events) if kind == "ADDED" and pod["metadata"]["uid"] not in before]
        ready = [i for i, (kind, pod) in enumerate(watch.events) if pod["metadata"]["uid"] not in before and is_ready(pod)]
    assert len(made) == 3 and max(made) < min(ready), "the last was made before the first was ready"


def test_a_name_that_would_make_no_pods_is_refused(s):
    refused = s.fails("apply", "-f", "-", stdin=manifest("a" * 53))
    assert "must be no more than 52 characters" in refused
    assert s.names("statefulsets") == []


def test_one_budget_for_everything(s):
    s.apply("""
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: all, annotations: {berth.dev/budget-everything: "true"}}
spec: {minAvailable: 2, selector: {matchLabels: {app: web}}}
""")
    s.apply(manifest("web", replicas=2))
    s.wait_ready("web-0", "web-1")
    s.k("scale", "sts/web", "--replicas=1")
    wait_for("the wait to be told", lambda: condition(s, "web").get("reason") == "Budget")
    assert '"all"' in condition(s, "web")["message"]
    assert "disruption budget" in s.fails("delete", "pod", "web-0")
    s.k("patch", "pdb", "all", "--type=merge", "-p", json.dumps({"spec": {"minAvailable": 1}}))
    s.wait_gone("pods", "web-1")
    assert is_ready(s.pod("web-0"))
