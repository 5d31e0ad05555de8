"""Ephemeral containers and resizes of running pods: `kubectl debug`, `kubectl patch --subresource resize`. Kubectls of 1.20 know neither."""
import lab
from lab import wait_for

PLAIN = f"""
apiVersion: v1
kind: Pod
metadata: {{name: plain}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {{name: main, image: {lab.WEB}, command: [sleep, "98765"]}}
  - {{name: side, image: {lab.WEB}, command: [sleep, "56789"]}}
"""

# Its own ps, from /proc: the image has none.
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

    # Without a target: processes of its own, the pod's network and name. It can be logged, executed in, and attached to.
    session.k("debug", "plain", f"--image={lab.WEB}", "--container=alone", "--", "sh", "-c", f"echo begun; {PROCESSES}; sleep 12345")
    wait_for("its start", lambda: debuggers(session)["alone"]["state"].get("running"))
    log = wait_for("its log", lambda: "begun" in (text := session.out("logs", "plain", "-c", "alone")) and text)
    assert "sleep 98765" not in log
    assert session.exec("plain", "hostname", container="alone") == "plain\n"
    assert session.wait_event("Pod", "plain", "Started")
    assert "Ephemeral Containers:" in session.out("describe", "pod", "plain")

    # What is there stays.
    change = '{"spec":{"ephemeralContainers":[{"name":"alone","image":"other"}]}}'
    assert 'existing ephemeral containers "alone" may not be changed' in session.fails("patch", "pod", "plain", "--subresource", "ephemeralcontainers", "-p", change)
    session.k("delete", "pod", "plain")
    session.wait_gone("pods", "plain")
