"""Logs, exec, attach, cp and port-forward, with each kubectl."""
import base64
import json
import pathlib
import re
import urllib.request

import kubernetes.client
import kubernetes.config
import kubernetes.stream
import pytest
import websocket

import lab
from lab import wait_for

TALKER = f"""
apiVersion: v1
kind: Pod
metadata: {{name: talker}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: c
    image: {lab.WEB}
    command: [sh, -c, "echo to out; echo to err >&2; touch /tmp/up; until [ -e /tmp/go ]; do sleep 0.05; done; echo gone on; until [ -e /tmp/end ]; do sleep 0.05; done; echo last words; exit 3"]
    readinessProbe: {{exec: {{command: [test, -e, /tmp/up]}}, periodSeconds: 1, timeoutSeconds: 30}}
"""

SHELL = f"""
apiVersion: v1
kind: Pod
metadata: {{name: shell}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: {lab.WEB}
    ports: [{{containerPort: 80, name: http}}]
    readinessProbe: {{httpGet: {{path: /, port: 80}}, periodSeconds: 1, timeoutSeconds: 30}}
  - {{name: side, image: {lab.WEB}, command: [sleep, "100000"]}}
"""


def test_logs(kubectl):
    kubectl.apply(TALKER)
    kubectl.wait_ready("talker")
    wait_for("both lines", lambda: sorted(kubectl.out("logs", "talker").splitlines()) == ["to err", "to out"])
    with kubectl.background("logs", "-f", "talker") as follow:
        follow.wait_text("^to out$")
        kubectl.exec("talker", "touch /tmp/go")
        follow.wait_text("^gone on$")
        assert kubectl.out("logs", "talker", "--tail=1") == "gone on\n"
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]+\.\d{9}Z gone on\n", kubectl.out("logs", "talker", "--tail=1", "--timestamps"))
        # The container may end, and the reader with it, before the end of the output.
        kubectl.k("exec", "talker", "--", "touch", "/tmp/end", check=False)
        assert follow.wait(30) == 0  # the stream ends with the container
        assert follow.text().endswith("last words\n")
    wait_for("a restart", lambda: kubectl.pod("talker")["status"]["containerStatuses"][0]["restartCount"] == 1)
    assert kubectl.out("logs", "talker", "--previous").endswith("gone on\nlast words\n")
    status = kubectl.pod("talker")["status"]["containerStatuses"][0]
    assert status["lastState"]["terminated"]["exitCode"] == 3 and status["lastState"]["terminated"]["reason"] == "Error"
    assert "not found" in kubectl.fails("logs", "nobody")
    assert "is not valid for pod talker" in kubectl.fails("logs", "talker", "-c", "nobody")


def test_exec(kubectl):
    kubectl.apply(SHELL)
    kubectl.wait_ready("shell")
    assert kubectl.out("exec", "shell", "-c", "side", "--", "hostname") == "shell\n"
    assert kubectl.out("exec", "-i", "shell", "-c", "main", "--", "cat", stdin="through and back\n") == "through and back\n"
    done = kubectl.k("exec", "shell", "-c", "main", "--", "sh", "-c", "echo out; echo err >&2; exit 7", check=False)
    assert (done.stdout, done.returncode) == ("out\n", 7)
    assert done.stderr.startswith("err\n") and "command terminated with exit code 7" in done.stderr
    assert "main" in kubectl.k("exec", "shell", "--", "true").stderr  # kubectl reports which container it chose
    missing = (r'error: Internal error occurred: error executing command in container: failed to exec in container: failed to start exec '
               r'"[0-9a-f]{64}": OCI runtime exec failed: exec failed: unable to start container process: '
               r'exec: "no-such-program": executable file not found in \$PATH: unknown')
    done = kubectl.k("exec", "shell", "-c", "main", "--", "no-such-program", check=False)
    assert (done.stdout, done.returncode) == ("", 1) and re.fullmatch(missing + "\n", done.stderr), done.stderr
    with kubectl.terminal("exec", "-it", "shell", "-c", "main", "--", "no-such-program") as terminal:
        terminal.expect(missing)
        assert terminal.wait() == 1
    assert "not found" in kubectl.fails("exec", "nobody", "--", "true")
    big = kubectl.out("exec", "shell", "-c", "main", "--", "sh", "-c", "seq 1 200000")
    assert big.count("\n") == 200000 and big.endswith("200000\n")


def test_exec_on_a_terminal(kubectl):
    kubectl.apply(SHELL)
    kubectl.wait_ready("shell")
    with kubectl.terminal("exec", "-it", "shell", "-c", "main", "--", "bash") as terminal:
        terminal.expect("# ")
        terminal.send("stty size\n")
        terminal.expect(r"^40 120")
        terminal.resize(25, 81)
        wait_for("the new size", lambda: (terminal.send("stty size\n"), terminal.expect(r"^(\d+ \d+)\r").group(1) == "25 81")[1])
        terminal.send("exit 5\n")
        assert terminal.wait() == 5


def test_interrupt_on_a_terminal(session):
    session.apply(SHELL)
    session.wait_ready("shell")
    # Wait for the program's output, so that it is in the foreground, not the shell that is starting it.
    program = """sh -c 'trap "echo inter""rupted; exit 0" INT; echo st""arted; while :; do sleep 0.1; done'"""
    with session.terminal("exec", "-it", "shell", "-c", "main", "--", "bash") as terminal:
        terminal.expect("# ")
        terminal.send(program + "\n")
        terminal.expect("^started")
        terminal.send("\x03")
        terminal.expect("interrupted")


def test_run_with_standard_input(kubectl):
    out = kubectl.out("run", "once", f"--image={lab.WEB}", "-i", "--rm", "--restart=Never", "--command", "--", "tr", "a-z", "A-Z",
                      stdin="from here\n")
    assert "FROM HERE" in out and 'pod "once" deleted' in out
    kubectl.wait_gone("pods", "once")


def test_run_on_a_terminal_shows_all_that_was_said(kubectl):
    """Output from before the attachment is shown too: the program's first line, and its prompt."""
    script = "echo first; echo 'your name?'; read name; echo hello $name"
    with kubectl.terminal("run", "asks", f"--image={lab.WEB}", "-it", "--rm", "--restart=Never", "--command", "--", "sh", "-c", script) as terminal:
        terminal.expect(r"first\r?\n(.*\n)*your name\?")
        terminal.send("ann\n")
        terminal.expect("hello ann")
        terminal.expect('pod "asks" deleted')
        assert terminal.wait() == 0
    kubectl.wait_gone("pods", "asks")


def test_what_a_client_has_read_of_the_log_is_not_said_again(kubectl):
    """kubectl run -i of 1.36 reads the log before it attaches."""
    def made(name, script):
        kubectl.apply(lab.pod(name, {"command": ["sh", "-c", script], "stdin": True, "stdinOnce": True}, restartPolicy="Never"))
        wait_for("a first line", lambda: kubectl.k("logs", name, check=False).stdout.startswith("first\n"))
        return kubectl.out("logs", name)

    assert made("waits", "echo first; read name; echo hello $name") == "first\n"
    assert kubectl.out("attach", "-i", "waits", stdin="ann\n") == "hello ann\n"
    # The container has ended in between.
    for name, reads, said in (("quick", True, b""), ("late", False, b"first\nlast\n")):
        made(name, "echo first; sleep 0.1; echo last")
        wait_for("its end", lambda: kubectl.pod(name)["status"]["phase"] == "Succeeded")
        if reads:
            assert kubectl.cluster.request("GET", f"/api/v1/namespaces/{kubectl.ns}/pods/{name}/log") == (200, "first\nlast\n")
        channels = {1: b"", 3: b""}
        attached = listen(kubectl, f"pods/{name}/attach?stdin=true&stdout=true", "v5.channel.k8s.io")
        while message := attached.recv():
            channels[message[0]] += message[1:]
        assert channels[1] == said and json.loads(channels[3])["status"] == "Success", channels
    # Only for the first client.
    with pytest.raises(websocket.WebSocketBadStatusException, match="500"):
        listen(kubectl, "pods/late/attach?stdin=true&stdout=true", "v5.channel.k8s.io")


def test_copy(kubectl, tmp_path):
    kubectl.apply(SHELL)
    kubectl.wait_ready("shell")
    there = tmp_path / "there"
    there.mkdir()
    (there / "text").write_text("hello\n")
    (there / "noise").write_bytes(bytes(range(256)) * 4096)
    kubectl.k("cp", str(there), "shell:/tmp/there", "-c", "main")
    assert kubectl.exec("shell", "cat /tmp/there/text; wc -c < /tmp/there/noise", container="main").split() == ["hello", "1048576"]
    kubectl.k("cp", "shell:/tmp/there", str(tmp_path / "back"), "-c", "main")
    assert (tmp_path / "back" / "noise").read_bytes() == (there / "noise").read_bytes()


def test_port_forward(kubectl):
    kubectl.apply(SHELL)
    kubectl.wait_ready("shell")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with kubectl.background("port-forward", "pod/shell", ":80") as forward:
        port = forward.wait_text(r"Forwarding from 127\.0\.0\.1:(\d+) -> 80").group(1)
        for _ in range(3):
            assert opener.open(f"http://127.0.0.1:{port}/", timeout=100).read() == b"shell\n"


def test_port_forward_of_the_python_client(session):
    """The client names the ports in the request and gets two numbered WebSocket channels for each."""
    session.apply(SHELL)
    session.wait_ready("shell")
    kubernetes.config.load_kube_config(f"{session.cluster.data_dir}/kubeconfig")
    pods = kubernetes.client.CoreV1Api()
    forward = kubernetes.stream.portforward(pods.connect_get_namespaced_pod_portforward, "shell", session.ns, ports="80,81")
    web = forward.socket(80)
    web.settimeout(100)
    web.sendall(b"GET / HTTP/1.1\r\nHost: shell\r\nConnection: close\r\n\r\n")
    answer = b""
    while more := web.recv(4096):
        answer += more
    assert answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"\r\n\r\nshell\n"), answer
    assert forward.error(80) is None
    wait_for("a refusal", lambda: "refused" in (forward.error(81) or ""))


def listen(session, path, *protocols):
    """Opens a WebSocket of the API."""
    address = f"wss://127.0.0.1:{session.cluster.port}/api/v1/namespaces/{session.ns}/{path}"
    return websocket.create_connection(address, sslopt={"context": session.cluster.tls}, subprotocols=protocols, timeout=100)


def test_logs_that_their_clients_leave_are_not_kept_open(session):
    def open_files():
        return len(list(pathlib.Path(f"/proc/{session.cluster.pid('agent')}/fd").iterdir()))

    session.apply(TALKER)
    session.wait_ready("talker")
    before = open_files()
    for _ in range(20):
        log = listen(session, "pods/talker/log?follow=true")
        log.recv()
        log.close()
    wait_for("the logs' connections to be closed", lambda: open_files() < before + 10)


def test_logs_and_watches_as_websockets(session):
    session.apply(TALKER)
    session.wait_ready("talker")
    for protocols, decode in ((), bytes), (("binary.k8s.io",), bytes), (("base64.binary.k8s.io",), base64.b64decode):
        log = listen(session, "pods/talker/log?follow=true", *protocols)
        text = b""
        while b"to out" not in text or b"to err" not in text:
            text += decode(log.recv())
        log.close()
    watch = listen(session, "pods?watch=true")
    assert json.loads(watch.recv())["object"]["metadata"]["name"] == "talker"
    session.k("annotate", "pod", "talker", "a=b")
    while True:
        event = json.loads(watch.recv())
        if event["object"]["metadata"].get("annotations", {}).get("a") == "b":
            break
    assert event["type"] == "MODIFIED"
    watch.close()
