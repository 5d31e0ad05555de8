"""`berth why`: explains what an object waits for, down to the node."""
import json
import os
import signal

import lab
from lab import run, wait_for

CONTAINER = {"name": "c", "image": lab.WEB, "command": ["sleep", "1000"]}


def why(session, *args):
    """Returns (exit code, output)."""
    done = run([lab.BERTH, "why", *args], env=session.env, check=False)
    return done.returncode, done.stdout + done.stderr


def why_is(session, thing, *parts):
    """Waits until the output of `why` contains all `parts`; returns the output."""
    def probe():
        code, text = why(session, thing)
        missing = [part for part in parts if part not in text]
        if code != 3 or missing:
            raise lab.Failed(f"exit {code}, without {missing}:\n{text}")
        return text
    return wait_for(f"berth why {thing}", probe, 30)


def stateful_set(name, replicas=1, container=None, **spec):
    labels = {"app": name}
    pod = {"terminationGracePeriodSeconds": 0, "containers": [{**CONTAINER, **(container or {})}]}
    return json.dumps({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name},
                       "spec": {"replicas": replicas, "serviceName": name, "selector": {"matchLabels": labels},
                                "template": {"metadata": {"labels": labels}, "spec": pod}, **spec}})


def test_why(session):
    claim = {"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "16Mi"}}}}
    session.apply(stateful_set("well", 2, volumeClaimTemplates=[claim], container={"volumeMounts": [{"name": "data", "mountPath": "/data"}]}))
    session.apply(stateful_set("image", 2, container={"image": "no.such/image:1", "imagePullPolicy": "Never"}))
    session.apply(stateful_set("big", container={"resources": {"requests": {"cpu": "1000"}}}))
    session.apply(stateful_set("unready", container={"readinessProbe": {"exec": {"command": ["ls", "/no/such/file"]}, "periodSeconds": 1}}))

    text = why_is(session, "sts/image", "statefulset/image", "0 of 2 ready", "pod/image-0", "ErrImageNeverPull",
                  "its image no.such/image:1 is not here", "berth image import FILE --reference no.such/image:1", "image-1 ", "not made yet")
    assert "statefulset/image waits for pod/image-0, container c" in text
    assert "comes after image-0" in why_is(session, "pod/image-1", "does not exist yet", "container c")

    why_is(session, "sts/big", "pod/big-0", "scheduling", "Unschedulable", "it asks for 1k cpu, and no node has that much left",
           "1 Insufficient cpu", "node/berth-1")

    text = why_is(session, "statefulset/unready", "running, not ready", "its readiness probe (the command `ls /no/such/file`) fails: ",
                  "kubectl logs unready-0 -c c")
    assert "No such file or directory" in text and "scheduling" not in text

    session.wait_ready("well-0", "well-1")
    wait_for("nothing to wait for", lambda: why(session, "sts/well")[0] == 0)
    code, text = why(session, "sts", "well")
    assert code == 0 and "2 of 2 ready" in text and text.endswith("statefulset/well waits for nothing.\n"), text
    code, text = why(session, "pod/well-1")
    assert code == 0 and all(part in text for part in ("node/berth-1", "pvc/data-well-1", "Bound", "pv/pvc-", "container c", "running")), text

    # Other ways to ask: through the data directory's socket, as JSON; and questions that fail.
    code, text = why(session, "pvc/data-well-0", "-n", session.ns, "--data-dir", session.cluster.data_dir, "-o", "json")
    assert code == 0 and json.loads(text)["steps"][0]["object"] == "pvc/data-well-0", text
    code, text = why(session, "sts/big", "-n", session.ns, "--data-dir", session.cluster.data_dir)
    assert code == 3 and "pod/big-0" in text
    assert why(session, "sts/nope") == (1, 'berth: statefulsets.apps "nope" not found\n')
    code, text = why(session, "service/web")
    assert code == 1 and "a Service waits for nothing" in text

    # If the server hangs, `why` reports that after a while instead of waiting.
    server = session.cluster.pid("server")
    os.kill(server, signal.SIGSTOP)
    try:
        https, socket = why(session, "sts/well"), why(session, "sts/well", "-n", session.ns, "--data-dir", session.cluster.data_dir)
    finally:
        os.kill(server, signal.SIGCONT)
    assert https[0] == 1 and https[1].endswith(": timed out\n"), https
    assert socket[0] == 1 and "takes connections and does not answer" in socket[1], socket
