"""The units of docs/howto/systemd.md: systemd accepts them, and their commands do what the page describes."""
import os
import pathlib
import re
import shutil
import signal
import subprocess

import pytest

import lab
from lab import is_ready, wait_for

TEXT = (lab.ROOT / "docs/howto/systemd.md").read_text()


@pytest.fixture(scope="module")
def units(own_cluster, tmp_path_factory):
    """{name: text}, with the paths and the port of this test."""
    out = {}
    for name, text in re.findall(r"`/etc/systemd/system/(\S+)`.*?```ini\n(.*?)```", TEXT, re.S):
        for what, instead in (("/usr/local/bin/berth", lab.BERTH), ("/var/lib/berth", own_cluster.data_dir), ("--api-port 6443", f"--api-port {own_cluster.port}"),
                              ("/run/berth.pid", str(tmp_path_factory.getbasetemp() / "berth.pid"))):
            text = text.replace(what, instead)
        out[name] = text
    return out


def alive(pid):
    """True if the process exists and is no zombie."""
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except OSError:
        return False


def setting(unit, key):
    return re.search(rf"^{key}=(.*)$", unit, re.M).group(1)


def carry_out(cluster, unit, key, **env):
    """Runs a command of a unit as systemd does."""
    line = setting(unit, key)
    words = re.fullmatch(r"/bin/sh -c '(.*)'", line)
    argv = ["/bin/sh", "-c", words.group(1).replace("$$", "$")] if words else line.split()
    lab.run(argv, env={**cluster.env, **env}, timeout=300)


def test_systemd_accepts_them(units, tmp_path):
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd here")
    assert sorted(units) == ["berth-pods.service", "berth.service"]
    for name, text in units.items():
        (tmp_path / name).write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *(str(tmp_path / name) for name in units)], capture_output=True, text=True,
                          env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"}, check=False)
    # Messages about other units of this machine are ignored.
    said = [line for line in done.stderr.splitlines() if "berth" in line]
    assert done.returncode == 0 and not said, done.stderr


def test_pods_outlive_a_restart_of_the_service(own_cluster, units):
    cluster, service = own_cluster, units["berth.service"]
    main = pathlib.Path(setting(service, "PIDFile"))
    carry_out(cluster, service, "ExecStart")
    assert int(main.read_text()) == cluster.pid("supervisor")
    cluster.image(lab.WEB)
    cluster.kubectl("apply", "-f", "-", stdin=lab.pod("stays"))
    wait_for("the pod", lambda: is_ready(cluster.api("/api/v1/namespaces/default/pods/stays")))
    before = cluster.api("/api/v1/namespaces/default/pods/stays")["status"]["containerStatuses"][0]
    roles = {role: cluster.pid(role) for role in ("supervisor", "server", "agent")}
    inside = cluster.pids() - set(roles.values())
    # KillMode=process: only the main process gets the signal.
    os.kill(int(main.read_text()), signal.SIGTERM)
    wait_for("the supervisor's end", lambda: not alive(roles["supervisor"]))
    carry_out(cluster, service, "ExecStopPost", SERVICE_RESULT="signal")
    assert alive(roles["server"]) and alive(roles["agent"])
    carry_out(cluster, service, "ExecStopPost", SERVICE_RESULT="success")
    wait_for("the end of both", lambda: not alive(roles["server"]) and not alive(roles["agent"]))
    assert all(alive(pid) for pid in inside)
    carry_out(cluster, service, "ExecStart")
    assert int(main.read_text()) == cluster.pid("supervisor") != roles["supervisor"]
    assert cluster.pid("server") != roles["server"] and cluster.pid("agent") != roles["agent"]
    after = cluster.api("/api/v1/namespaces/default/pods/stays")["status"]["containerStatuses"][0]
    assert after["containerID"] == before["containerID"] and after["restartCount"] == 0
    assert all(alive(pid) for pid in inside)
    carry_out(cluster, units["berth-pods.service"], "ExecStop")
    assert not any(alive(pid) for pid in inside)
