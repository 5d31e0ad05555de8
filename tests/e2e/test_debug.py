"""Ephemeral containers and resizes of running pods: `kubectl debug`, `kubectl patch --subresource resize`. Not with 1.20."""
import json
import pathlib

import lab
from lab import wait_for

PLAIN = lab.pod("plain", {"name": "main", "command": ["sleep", "98765"]}, {"name": "side", "command": ["sleep", "56789"]})

# A `ps` that reads /proc: the image has none.
PROCESSES = r"for p in /proc/[0-9]*; do tr '\0' ' ' < $p/cmdline; echo; done"


def debuggers(session, pod="plain"):
    return {s["name"]: s for s in session.pod(pod)["status"].get("ephemeralContainerStatuses", [])}


def test_debug_a_running_pod(session):
    session.apply(PLAIN)
    session.wait_ready("plain")
    with session.terminal("debug", "-it", "plain", f"--image={lab.WEB}", "--container=see", "--target=main", "--", "bash") as terminal:
        terminal.expect("# ")
        terminal.send(PROCESSES + "; echo th''at is all\n")
        seen = terminal.expect(r"(?s)(.*)that is all").group(1)
        assert "sleep 98765" in seen and "sleep 56789" not in seen, seen
        terminal.send("hostname; exit 4\n")
        terminal.expect("^plain")
        terminal.wait()
    ended = wait_for("the debugger's end", lambda: debuggers(session)["see"]["state"].get("terminated"))
    assert ended["exitCode"] == 4
    pod = session.pod("plain")
    assert pod["spec"]["ephemeralContainers"][0]["targetContainerName"] == "main"
    assert [s["restartCount"] for s in pod["status"]["containerStatuses"]] == [0, 0] and lab.is_ready(pod)
    assert pod["metadata"]["generation"] == pod["status"]["observedGeneration"] == 2

    # Without a target the container has its own process namespace, and the pod's network and hostname. Logs, exec and attach work.
    session.k("debug", "plain", f"--image={lab.WEB}", "--container=alone", "--", "sh", "-c", f"{PROCESSES}; echo th''at is all; sleep 12345")
    wait_for("its start", lambda: debuggers(session)["alone"]["state"].get("running"))
    log = wait_for("its log", lambda: "that is all" in (text := session.out("logs", "plain", "-c", "alone")) and text)
    assert "sleep 98765" not in log
    assert session.exec("plain", "hostname", container="alone") == "plain\n"
    wait_for("its event", lambda: any(e["reason"] == "Started" and e["involvedObject"].get("fieldPath") == "spec.ephemeralContainers{alone}"
                                      for e in session.list("events")["items"]))
    assert "Ephemeral Containers:" in session.out("describe", "pod", "plain")

    # Existing ephemeral containers are kept.
    change = '{"spec":{"ephemeralContainers":[{"name":"alone","image":"other"}]}}'
    assert 'existing ephemeral containers "alone" may not be changed' in session.fails("patch", "pod", "plain", "--subresource", "ephemeralcontainers", "-p", change)
    session.k("delete", "pod", "plain")
    session.wait_gone("pods", "plain")


SIZED = lab.pod(
    "sized",
    {"name": "main", "resources": {"requests": {"cpu": "50m", "memory": "32Mi"}, "limits": {"cpu": "200m", "memory": "64Mi"}},
     "resizePolicy": [{"resourceName": "cpu", "restartPolicy": "NotRequired"}, {"resourceName": "memory", "restartPolicy": "RestartContainer"}]},
    {"name": "side", "resources": {"limits": {"cpu": "100m", "memory": "64Mi"}}})


def control_group(session, container, controller, files):
    """A value of the container's cgroup; `files`: the file's name in cgroup v1 and in v2."""
    status = next(s for s in session.pod("sized")["status"]["containerStatuses"] if s["name"] == container)
    name = status["containerID"].removeprefix("berth://")
    for root, file in zip([f"/sys/fs/cgroup/{controller}", "/sys/fs/cgroup"], files):
        for found in pathlib.Path(root, session.cluster.cgroup_name()).glob(f"*/{name}/{file}"):
            return found.read_text().split()[0]
    raise lab.Failed(f"no control group of {container}")


def test_resize_a_running_pod(session):
    session.apply(SIZED)
    session.wait_ready("sized")

    def resize(name, resources):
        container = {"name": name, "resources": resources}
        session.k("patch", "pod", "sized", "--subresource", "resize", "-p", json.dumps({"spec": {"containers": [container]}}))

    def done(generation):
        pod = session.pod("sized")
        under_way = [c for c in pod["status"]["conditions"] if c["type"].startswith("PodResize")]
        return pod["status"]["observedGeneration"] == generation == pod["metadata"]["generation"] and not under_way and pod

    quota = ("cpu", ("cpu.cfs_quota_us", "cpu.max"))
    limit = ("memory", ("memory.limit_in_bytes", "memory.max"))
    assert control_group(session, "main", *quota) == "20000"
    resize("main", {"requests": {"cpu": "100m"}, "limits": {"cpu": "400m"}})
    pod = wait_for("the resize", lambda: done(2))
    main = pod["status"]["containerStatuses"][0]
    assert control_group(session, "main", *quota) == "40000"
    assert main["restartCount"] == 0 and main["allocatedResources"] == {"cpu": "100m", "memory": "32Mi"}
    assert main["resources"]["limits"] == {"cpu": "400m", "memory": "64Mi"}
    assert session.wait_event("Pod", "sized", "ResizeCompleted")

    resize("main", {"requests": {"memory": "48Mi"}, "limits": {"memory": "128Mi"}})
    pod = wait_for("the restart", lambda: (pod := done(3)) and pod["status"]["containerStatuses"][0]["restartCount"] == 1 and lab.is_ready(pod) and pod)
    assert control_group(session, "main", *limit) == str(128 << 20) and control_group(session, "main", *quota) == "40000"
    assert pod["status"]["containerStatuses"][1]["restartCount"] == 0
    resize("side", {size: {"cpu": "50m", "memory": "48Mi"} for size in ("requests", "limits")})
    wait_for("the smaller size", lambda: done(4))
    assert control_group(session, "side", *quota) == "5000" and control_group(session, "side", *limit) == str(48 << 20)

    # A restart of the agent changes none of these values.
    session.cluster.kill("agent")
    session.wait_ready("sized")
    assert control_group(session, "main", *quota) == "40000"

    refused = session.fails("patch", "pod", "sized", "--subresource", "resize", "-p",
                            '{"spec":{"containers":[{"name":"main","resources":{"requests":{"cpu":"1000"},"limits":{"cpu":"1000"}}}]}}')
    assert "node didn't have enough allocatable resources: cpu, requested: 1000" in refused
    assert "Pod QOS Class may not change" in session.fails(
        "patch", "pod", "sized", "--subresource", "resize", "-p",
        '{"spec":{"containers":[{"name":"main","resources":{"requests":{"cpu":"400m","memory":"128Mi"}}},'
        '{"name":"side","resources":{"requests":{"cpu":"50m","memory":"48Mi"}}}]}}')
    assert "pod updates may not change fields" in session.fails("patch", "pod", "sized", "-p", '{"spec":{"containers":[{"name":"main","resources":{"limits":{"cpu":"1"}}}]}}')
