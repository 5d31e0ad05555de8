"""Stable identity: names, claims, DNS and ordered termination (scenarios 002.1 to 002.7). The tests build on each other."""
import re

import pytest

import lab
from lab import columns, is_ready, wait_for

CLASS = """
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata:
  name: flash
provisioner: pd.csi.storage.gke.io
volumeBindingMode: WaitForFirstConsumer
allowVolumeExpansion: true
parameters:
  type: pd-ssd
"""

SERVICE = """
# Headless Service for StatefulSet Pod DNS names
apiVersion: v1
kind: Service
metadata:
  name: dullahan
  labels:
    app: web
spec:
  ports:
  - port: 80
    name: web
  clusterIP: None
  selector:
    app: web
"""

SET = f"""
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: tkb-sts
spec:
  replicas: 3
  selector:
    matchLabels:
      app: web
  serviceName: "dullahan"
  template:
    metadata:
      labels:
        app: web
    spec:
      terminationGracePeriodSeconds: 10
      containers:
      - name: ctr-web
        image: {lab.WEB}
        ports:
        - containerPort: 80
          name: web
        volumeMounts:
        - name: webroot
          mountPath: /usr/share/nginx/html
  volumeClaimTemplates:
  - metadata:
      name: webroot
    spec:
      accessModes: [ "ReadWriteOnce" ]
      storageClassName: "flash"
      resources:
        requests:
          storage: 1Gi
"""

LONELY_CLAIM = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: lonely
spec:
  accessModes: [ReadWriteOnce]
  storageClassName: flash
  resources: {requests: {storage: 1Gi}}
"""

JUMP = f"""
apiVersion: v1
kind: Pod
metadata:
  name: jump-pod
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - image: {lab.WEB}
    name: jump-ctr
    command: [bash]
    tty: true
    stdin: true
"""

MEMBERS = ["tkb-sts-0", "tkb-sts-1", "tkb-sts-2"]


@pytest.fixture(scope="module")
def k(story):
    return story


def ready_count(k):
    return k.get("statefulsets", "tkb-sts")["status"].get("readyReplicas", 0)


def test_002_1_class_waits_for_the_first_consumer(k):
    assert re.fullmatch(r"storageclass.storage.k8s.io/flash (created|unchanged)\n", k.apply(CLASS))
    row = columns(k.out("get", "storageclass", "flash"))[1]
    assert row[:5] == ["flash", "pd.csi.storage.gke.io", "Delete", "WaitForFirstConsumer", "true"]
    k.apply(LONELY_CLAIM)
    k.wait_event("PersistentVolumeClaim", "lonely", "WaitForFirstConsumer", "waiting for first consumer to be created before binding")
    assert columns(k.out("get", "pvc", "lonely"))[1][:2] == ["lonely", "Pending"]
    k.k("delete", "pvc", "lonely")


def test_002_2_strictly_one_after_the_other(k):
    k.apply(SERVICE)
    with k.listing("get", "sts") as listing, k.watch() as watch:
        k.apply(SET)
        k.wait_ready(*MEMBERS)
        wait_for("the watch to see it", lambda: watch.ready("tkb-sts-2"))
        for earlier, later in zip(MEMBERS, MEMBERS[1:]):
            assert watch.ready(earlier) < watch.created(later)
        listing.wait_text(r"^tkb-sts +0/3[\s\S]*^tkb-sts +1/3[\s\S]*^tkb-sts +2/3[\s\S]*^tkb-sts +3/3")


def test_002_3_a_claim_for_each(k):
    rows = columns(k.out("get", "pvc"))[1:]
    assert [row[:2] for row in rows] == [[f"webroot-{m}", "Bound"] for m in MEMBERS]
    assert [(row[3], row[4], row[5]) for row in rows] == [("1Gi", "RWO", "flash")] * 3
    assert len({row[2] for row in rows}) == 3
    for row in rows:
        assert re.search(rf"Bound +{k.ns}/{row[0]} +flash", k.out("get", "pv", row[2]))


def test_002_4_dns_names_of_members(k):
    k.apply(JUMP)
    k.wait_ready("jump-pod")
    addresses = {m: k.pod(m)["status"]["podIP"] for m in MEMBERS}
    domain = f"dullahan.{k.ns}.svc.cluster.local"
    wait_for("the names", lambda: k.exec("jump-pod", f"dig +short SRV {domain}").count("\n") == len(MEMBERS))
    with k.terminal("exec", "-it", "jump-pod", "--", "bash") as terminal:
        terminal.expect("# ")
        terminal.send(f"dig SRV {domain}\n")
        answer = terminal.expect(r"ANSWER SECTION:[\s\S]*Query time").group(0)
        terminal.send("exit\n")
        assert terminal.wait() == 0
    for member, address in addresses.items():
        assert re.search(rf"^{domain}\.\s+\d+\s+IN\s+SRV\s+\d+ \d+ 80 {member}\.{domain}\.", answer, re.M), answer
        additional = answer.partition("ADDITIONAL SECTION:")[2]
        assert re.search(rf"^{member}\.{domain}\.\s+\d+\s+IN\s+A\s+{re.escape(address)}", additional, re.M), answer
    assert len(re.findall(r"\sSRV\s+\d", answer)) == 3
    # The short name, resolved through the pod's search domains.
    assert k.exec("jump-pod", "getent hosts tkb-sts-1.dullahan").split()[0] == addresses["tkb-sts-1"]
    assert k.exec("jump-pod", "dig +short nobody.dullahan." + k.ns + ".svc.cluster.local") == ""


def test_002_5_the_same_claims_come_back(k):
    for m in MEMBERS:
        k.exec(m, "hostname > /usr/share/nginx/html/name; sync")
    volumes = {c["metadata"]["name"]: c["spec"]["volumeName"] for c in k.list("persistentvolumeclaims")["items"]}
    with k.watch() as watch:
        k.k("scale", "sts/tkb-sts", "--replicas=1")
        k.wait_gone("pods", "tkb-sts-1")
        wait_for("the watch to see it", lambda: watch.deleted("tkb-sts-1"))
        assert watch.deleted("tkb-sts-2") < watch.terminating("tkb-sts-1")
    assert k.names("persistentvolumeclaims") == [f"webroot-{m}" for m in MEMBERS]
    k.k("scale", "sts/tkb-sts", "--replicas=3")
    k.wait_ready(*MEMBERS)
    for m in MEMBERS:
        assert k.exec(m, "cat /usr/share/nginx/html/name") == m + "\n"
    assert volumes == {c["metadata"]["name"]: c["spec"]["volumeName"] for c in k.list("persistentvolumeclaims")["items"]}


FLUSHER = f"""
apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: flusher}}
spec:
  selector: {{matchLabels: {{app: flusher}}}}
  serviceName: none
  template:
    metadata: {{labels: {{app: flusher}}}}
    spec:
      terminationGracePeriodSeconds: 60
      containers:
      - name: c
        image: {lab.WEB}
        command: [sh, -c, "trap 'sleep 1; echo flushed >> /data/log; exit 0' TERM; echo started >> /data/log; touch /tmp/up; while :; do sleep 0.1; done"]
        readinessProbe: {{exec: {{command: [test, -e, /tmp/up]}}, periodSeconds: 1, timeoutSeconds: 30}}
        volumeMounts: [{{name: data, mountPath: /data}}]
  volumeClaimTemplates:
  - metadata: {{name: data}}
    spec:
      accessModes: [ReadWriteOnce]
      resources: {{requests: {{storage: 16Mi}}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: deaf}}
spec:
  terminationGracePeriodSeconds: 2
  containers:
  - name: c
    image: {lab.WEB}
    command: [sh, -c, "trap '' TERM; touch /tmp/up; while :; do sleep 0.1; done"]
    readinessProbe: {{exec: {{command: [test, -e, /tmp/up]}}, periodSeconds: 1, timeoutSeconds: 30}}
"""


def test_002_6_time_to_flush(k):
    k.apply(FLUSHER)
    k.wait_ready("flusher-0", "deaf")
    with k.watch() as watch:
        k.k("delete", "pod", "flusher-0")
        k.wait_ready("flusher-0")
        k.k("delete", "pod", "deaf")
        wait_for("the watch to see it", lambda: watch.deleted("deaf"))

        def end_of(name):
            return watch.events[watch.deleted(name)][1]["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"]
        assert end_of("flusher-0") == 0, "it had the time that it needed"
        assert end_of("deaf") == 137, "it was killed when its time was over"
    assert k.exec("flusher-0", "cat /data/log") == "started\nflushed\nstarted\n"
    k.k("delete", "sts", "flusher", "--wait=false")


def test_002_7_claims_outlive_the_set(k):
    assert k.out("delete", "sts", "tkb-sts").startswith('statefulset.apps "tkb-sts" deleted')
    for m in MEMBERS:
        k.wait_gone("pods", m)
    assert [n for n in k.names("persistentvolumeclaims") if n.startswith("webroot")] == [f"webroot-{m}" for m in MEMBERS]
    assert all(c["status"]["phase"] == "Bound" for c in k.list("persistentvolumeclaims")["items"])
    # A new set of the same name uses the claims again.
    k.apply(SET.replace("replicas: 3", "replicas: 2"))
    k.wait_ready("tkb-sts-0", "tkb-sts-1")
    assert k.exec("tkb-sts-1", "cat /usr/share/nginx/html/name") == "tkb-sts-1\n"
