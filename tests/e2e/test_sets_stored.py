"""A store written by an earlier release: after `berth up` on it, its sets, pods, claims and revisions stay as they are."""
import copy
import json
import pathlib
import signal
import sqlite3

import pytest

import lab
from lab import is_ready, wait_for

COMPAT = pathlib.Path(lab.ROOT, "tests/compat")
STORED = {path.name: json.loads(path.read_text()) for path in sorted(COMPAT.glob("*.json"))}
RESOURCES = {"StatefulSet": "statefulsets", "Pod": "pods", "PersistentVolumeClaim": "persistentvolumeclaims",
             "ControllerRevision": "controllerrevisions"}
# Fields whose values depend on the machine, the time or chance. All others are determined by the release.
CHANCE = {"uid", "creationTimestamp", "lastTransitionTime", "startTime", "startedAt", "podIP", "hostIP", "ip", "containerID", "imageID",
          "volumeName"}


def objects(stored):
    return [stored["set"], *stored["pods"], *stored["claims"], *stored["revisions"]]


def as_then(then, now, key=""):
    """`then` with the fields of CHANCE taken from `now`."""
    if isinstance(then, dict):
        return {k: as_then(v, now.get(k) if isinstance(now, dict) else None, k) for k, v in then.items()}
    if isinstance(then, list):
        return [as_then(v, now[i] if isinstance(now, list) and i < len(now) else None) for i, v in enumerate(then)]
    by_chance = key in CHANCE or (key == "name" and then.startswith("kube-api-access-"))
    return now if by_chance and now is not None else then


def without_reports(thing):
    """A pod without the fields that only the agent writes, of which a newer agent may write more."""
    if thing["kind"] != "Pod":
        return thing
    thing = copy.deepcopy(thing)
    for key in ("resourceVersion", "managedFields"):
        thing["metadata"].pop(key, None)
    for status in thing["status"].get("containerStatuses", []):
        status.pop("user", None)
    for condition in thing["status"].get("conditions", []):
        condition.pop("lastProbeTime", None)
    return thing


class Store:
    """The store's database while no server has it open. See src/store/sqlite_file.h."""

    def __init__(self, path):
        self._db = sqlite3.connect(path, isolation_level=None)
        self._revision = self._db.execute("SELECT max(revision) FROM log").fetchone()[0]

    def close(self):
        self._db.close()

    def newest(self, key):
        """Returns (value, its create revision) of a key."""
        return self._db.execute("SELECT value, create_revision FROM log WHERE key = ? ORDER BY revision DESC", (key,)).fetchone()

    def put(self, key, thing):
        self._revision += 1
        had = self.newest(key)
        created = had[1] if had else self._revision
        thing["metadata"]["resourceVersion"] = str(self._revision)
        value = json.dumps(thing).encode()
        self._db.execute("INSERT INTO log(revision, key, value, kind, create_revision, checksum) VALUES(?, ?, ?, 0, ?, ?)",
                         (self._revision, key, value, created, checksum(self._revision, created, key.encode(), value)))


def fnv64a(data):
    state = 0xCBF29CE484222325
    for byte in data:
        state = (state ^ byte) * 0x100000001B3 % 2**64
    return state


def checksum(revision, created, key, value):
    total = fnv64a(key)
    for part in (fnv64a(value), revision, created, 0):
        total = (total * 31 + part) % 2**64
    return total - 2**64 if total >= 2**63 else total


def make(k, stored):
    """Creates a current set that corresponds to a stored one."""
    k.apply(stored["set"]["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"])
    k.wait_ready(*(pod["metadata"]["name"] for pod in stored["pods"]))
    k.k("patch", "sts", stored["name"], "--type=merge", "-p", json.dumps({"spec": {"template": stored["set"]["spec"]["template"]}}))
    numbers = ("readyReplicas", "currentReplicas", "updatedReplicas", "observedGeneration")
    wait_for("the same numbers", lambda: [k.get("statefulsets", stored["name"])["status"][n] for n in numbers] ==
             [stored["set"]["status"][n] for n in numbers])


def key_of(thing):
    group = thing["apiVersion"].partition("/")[0] if "/" in thing["apiVersion"] else "core"
    return f"/registry/{group}/{RESOURCES[thing['kind']]}/{thing['metadata']['namespace']}/{thing['metadata']['name']}"


def rewrite(k, change):
    """Calls `change` with the store while no server runs."""
    k.cluster.kill("supervisor")  # otherwise the supervisor restarts them
    k.cluster.kill("agent")
    k.cluster.kill("server", signal.SIGTERM)  # SIGTERM: the server leaves the whole store in one file
    store = Store(f"{k.cluster.data_dir}/store/berth.db")
    change(store)
    store.close()
    k.cluster.up()


def later(k, name):
    """Waits for an object created after the stored sets, which is processed after them."""
    first = next(iter(STORED.values()))
    applied = first["set"]["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"]
    k.apply(applied.replace(first["name"], name).replace('"replicas":3', '"replicas":1'))
    k.wait_ready(f"{name}-0")


@pytest.fixture(scope="module")
def k(own_cluster):
    own_cluster.up()
    own_cluster.image(lab.WEB)
    namespace, = {stored["set"]["metadata"]["namespace"] for stored in STORED.values()}
    own_cluster.kubectl("create", "namespace", namespace)
    session = lab.Session(own_cluster, namespace=namespace)
    for stored in STORED.values():
        make(session, stored)
    yield session
    session.close_home()


def now_of(k, things):
    return [k.get(RESOURCES[thing["kind"]], thing["metadata"]["name"]) for thing in things]


def test_what_an_earlier_release_stored_stays_as_it_is(k):
    k.written = []

    def all_as_then(store):
        for stored in STORED.values():
            for then in objects(stored):
                thing = as_then(then, json.loads(store.newest(key_of(then))[0]))
                store.put(key_of(thing), thing)
                k.written.append(thing)
    rewrite(k, all_as_then)
    later(k, "later")
    # All fields are the same, and except for pods the resourceVersion too: no controller has written the objects.
    assert [without_reports(thing) for thing in now_of(k, k.written)] == [without_reports(thing) for thing in k.written]
    names, last = {thing["metadata"]["name"] for thing in k.written}, int(k.written[-1]["metadata"]["resourceVersion"])
    assert [e["message"] for e in k.list("events")["items"]
            if e["involvedObject"]["name"] in names and int(e["metadata"]["resourceVersion"]) > last] == []


def test_the_next_change_of_a_stored_set_rolls_nothing(k):
    revisions = {thing["metadata"]["name"] for thing in k.written if thing["kind"] == "ControllerRevision"}
    for stored in STORED.values():
        fourth = f"{stored['name']}-3"
        k.k("scale", "sts", stored["name"], "--replicas=4")
        k.wait_ready(fourth)
        assert k.pod(fourth)["metadata"]["labels"]["controller-revision-hash"] == stored["set"]["status"]["updateRevision"]
    later(k, "still-later")
    pods = [thing for thing in k.written if thing["kind"] == "Pod"]
    assert [without_reports(pod) for pod in now_of(k, pods)] == [without_reports(pod) for pod in pods]
    assert len(pods) == 3 * len(STORED)
    assert {name for name in k.names("controllerrevisions") if "later" not in name} == revisions


def test_a_stored_form_that_needs_a_write_is_written(k):
    """Shows that the first of these tests can fail: a label that every pod must have is restored."""
    name = k.written[1]["metadata"]["name"]

    def unlabelled(store):
        thing = json.loads(store.newest(key_of(k.written[1]))[0])
        del thing["metadata"]["labels"]["apps.kubernetes.io/pod-index"]
        store.put(key_of(thing), thing)
    rewrite(k, unlabelled)
    wait_for("the label", lambda: k.pod(name)["metadata"]["labels"]["apps.kubernetes.io/pod-index"] == "0")
    assert is_ready(k.pod(name)) and k.pod(name)["metadata"]["uid"] == k.written[1]["metadata"]["uid"]
