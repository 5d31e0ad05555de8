"""`berth up` and `berth down`: the behaviour that scripts rely on. The tests share one cluster and build on each other."""
import os
import pathlib
import re
import shutil
import signal
import socket
import time

import pytest

import lab
from lab import is_ready, wait_for

SET = f"""
apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: keeper}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: keeper}}}}
  serviceName: keeper
  template:
    metadata: {{labels: {{app: keeper}}}}
    spec:
      terminationGracePeriodSeconds: 5
      containers:
      - name: web
        image: {lab.WEB}
        readinessProbe: {{httpGet: {{path: /, port: 80}}, periodSeconds: 1, timeoutSeconds: 30}}
        volumeMounts: [{{name: data, mountPath: /var/www/html}}]
  volumeClaimTemplates:
  - metadata: {{name: data}}
    spec:
      accessModes: [ReadWriteOnce]
      resources: {{requests: {{storage: 16Mi}}}}
"""
PODS = ("keeper-0", "keeper-1")


@pytest.fixture(scope="module")
def c(own_cluster):
    return own_cluster


def pod(c, name):
    return c.api(f"/api/v1/namespaces/default/pods/{name}")


def wait_ready(c):
    wait_for("both pods Ready", lambda: all(is_ready(pod(c, name)) for name in PODS), 60)


def page(c, name):
    """The file that the pod wrote when its volume was new."""
    return c.kubectl("exec", name, "--", "cat", "/var/www/html/index.html").stdout


def claims(c):
    return {o["metadata"]["name"]: o["spec"]["volumeName"]
            for o in c.api("/api/v1/namespaces/default/persistentvolumeclaims")["items"]}


def now():
    """The time in the API's format."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def host_interfaces():
    return sorted(os.listdir("/sys/class/net"))


@pytest.fixture(scope="module")
def interfaces_before():
    return host_interfaces()


def test_port_taken(c):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        done = c.berth("up", "--api-port", str(port), check=False)
    assert done.returncode == 1
    assert f"port {port} on 127.0.0.1 is taken" in done.stderr and "--api-port" in done.stderr
    assert c.leftovers() == []


def test_up(c, interfaces_before):
    done = c.up()
    for step in ("node surroundings", "API server", "node agent", f"export KUBECONFIG={c.data_dir}/kubeconfig"):
        assert step in done.stdout
    node = c.kubectl("get", "nodes", "--no-headers").stdout.split()
    assert node[:2] == ["berth-1", "Ready"]
    assert pathlib.Path(c.data_dir, "kubeconfig").stat().st_mode & 0o077 == 0


def test_second_up_changes_nothing(c):
    before = (c.pid("server"), c.pid("agent"))
    done = c.up()
    assert done.stdout.count("was up") == 2
    assert before == (c.pid("server"), c.pid("agent"))
    other = c.berth("up", "--api-port", str(lab.free_port()), check=False)
    assert other.returncode == 1 and f"is up on port {c.port}" in other.stderr


def test_down_leaves_nothing(c, interfaces_before):
    c.image(lab.WEB)
    c.kubectl("apply", "-f", "-", stdin=SET)
    wait_ready(c)
    c.claims = claims(c)
    for name in PODS:
        c.kubectl("exec", name, "--", "sh", "-c", "hostname > /var/www/html/index.html")
    assert len(c.claims) == 2
    pids = c.pids()
    assert len(pids) >= 2 + 2 * 2  # daemons, and for each pod conmon and nginx
    c.downtime = [now()]
    done = c.down()
    c.downtime.append(now())
    assert done.returncode == 0
    assert c.leftovers() == []
    assert [p for p in pids if pathlib.Path(f"/proc/{p}/cgroup").exists() and c.cgroup_name() in pathlib.Path(f"/proc/{p}/cgroup").read_text()] == []
    assert host_interfaces() == interfaces_before
    assert not pathlib.Path(c.data_dir, "run").exists()
    assert c.down().stdout == f"nothing to stop: the cluster in {c.data_dir} is down\n"


def test_up_after_down_has_everything(c):
    c.up()
    wait_ready(c)
    assert claims(c) == c.claims
    for name in PODS:
        assert page(c, name) == f"{name}\n"
        # The exit codes of the containers are known, although no agent ran to write them to the API.
        end = pod(c, name)["status"]["containerStatuses"][0]["lastState"]["terminated"]
        assert (end["reason"], end["exitCode"]) == ("Completed", 0) and c.downtime[0] <= end["finishedAt"] <= c.downtime[1]


def test_up_after_kill_of_everything(c):
    uids = {name: pod(c, name)["metadata"]["uid"] for name in PODS}
    restarts = {name: pod(c, name)["status"]["containerStatuses"][0]["restartCount"] for name in PODS}
    killed = c.pids()
    for pid in killed:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    wait_for("all processes to be gone", lambda: not c.pids() & killed)
    c.up()
    wait_for("both containers to run again", lambda: all(
        pod(c, name)["status"]["containerStatuses"][0]["restartCount"] > restarts[name] for name in PODS), 60)
    wait_ready(c)
    assert uids == {name: pod(c, name)["metadata"]["uid"] for name in PODS}
    assert claims(c) == c.claims
    for name in PODS:
        assert page(c, name) == f"{name}\n"


def test_down_ends_what_is_frozen(c):
    """A frozen process does not die of SIGKILL: left by a container that may write its cgroups, or by an agent that was killed."""
    groups = list(pathlib.Path("/sys/fs/cgroup/freezer", c.cgroup_name()).glob("pod*/*/freezer.state"))
    if not groups:
        pytest.skip("version 2 of control groups")
    for role in ("supervisor", "agent"):
        c.kill(role)
    for group in groups:
        group.write_text("FROZEN")
    c.down("--grace", "2")
    assert c.leftovers() == []
    c.up()
    wait_ready(c)


def test_purge_removes_the_data(c):
    c.down("--purge", "--grace", "5")
    assert c.leftovers() == []
    assert not os.path.exists(c.data_dir) or os.listdir(c.data_dir) == []
    again = c.berth("down", "--purge")
    assert "nothing to stop" in again.stdout


def test_needs_no_host_route(c):
    """Nothing of the node is reachable, or even visible, in the host's network namespace."""
    routes = lab.run(["ip", "route", "show", "table", "all"]).stdout
    assert not re.search(r"10\.244\.|10\.96\.", routes)


def test_a_store_that_is_not_the_last_one_is_refused_until_that_is_accepted():
    c = lab.Cluster()
    store, pki = pathlib.Path(c.data_dir, "store"), pathlib.Path(c.data_dir, "pki")
    kept = f"{c.data_dir}-copy"
    try:
        c.up()
        c.kubectl("create", "configmap", "early")
        c.down()
        shutil.copytree(store, kept)
        c.up()
        c.kubectl("create", "configmap", "late")
        before = int(c.api("/api/v1/namespaces/default/configmaps")["metadata"]["resourceVersion"])
        c.down()
        for prepare, name in ((lambda: None, "store-emptied"), (lambda: shutil.copytree(kept, store), "store-older")):
            shutil.rmtree(store)
            prepare()
            refused = c.up(check=False)
            assert refused.returncode != 0
            assert f": berth up --data-dir {c.data_dir} --accept-loss={name}" in refused.stderr and "Nothing has been changed" in refused.stderr, refused.stderr
        wrong = c.berth("up", "--accept-loss=everything", check=False)
        assert "there is no loss \"everything\"" in wrong.stderr, wrong.stderr
        c.berth("up", "--api-port", str(c.port), "--accept-loss=store-older")
        found = c.api("/api/v1/namespaces/default/configmaps")
        names = {one["metadata"]["name"] for one in found["items"]}
        assert "early" in names and "late" not in names
        assert int(found["metadata"]["resourceVersion"]) > before
        c.down()
        # A pki directory that other users may read is refused too.
        pki.chmod(0o755)
        refused = c.up(check=False)
        assert f"{pki} has mode 0755" in refused.stderr and f"chmod 0700 {pki}" in refused.stderr, refused.stderr
        pki.chmod(0o700)
        c.up()
    finally:
        c.down("--purge", check=False)
        shutil.rmtree(kept, ignore_errors=True)
