"""Pulling images from a registry: Debian's docker-registry on 127.0.0.1, filled by skopeo."""
import base64
import hashlib
import io
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tarfile

import pytest
import yaml

import lab
from lab import columns, wait_for


USER, PASSWORD = "captain", "open-sesame-4711"
# Output of `htpasswd -nbB captain open-sesame-4711`, computed with the C library.
HASH = ["perl", "-e", "print crypt($ARGV[0], q($2y$05$abcdefghijklmnopqrstuu))", PASSWORD]


def small_image(path):
    """A docker-archive of one layer with busybox, as `docker save` writes it: small, so that compressing and copying it is fast."""
    def add(archive, name, content, **more):
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        for key, value in more.items():
            setattr(entry, key, value)
        archive.addfile(entry, io.BytesIO(content))

    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        add(archive, "bin/busybox", pathlib.Path(shutil.which("busybox")).read_bytes(), mode=0o755)
        add(archive, "bin/sleep", b"", type=tarfile.SYMTYPE, linkname="busybox")
    layer = layer.getvalue()
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Env": ["PATH=/bin"]},
                         "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]}}).encode()
    with tarfile.open(path, "w") as archive:
        add(archive, "layer.tar", layer)
        add(archive, "config.json", config)
        add(archive, "manifest.json", json.dumps([{"Config": "config.json", "RepoTags": [], "Layers": ["layer.tar"]}]).encode())


class Registry:
    """docker-registry with one image in it; `guarded`: only USER may pull."""

    def __init__(self, folder, guarded=False):
        self.address = f"127.0.0.1:{lab.free_port()}"
        config = {"version": 0.1, "storage": {"filesystem": {"rootdirectory": f"{folder}/blobs"}}, "http": {"addr": self.address}}
        if guarded:
            (folder / "users").write_text(f"{USER}:{lab.run(HASH).stdout}\n")
            config["auth"] = {"htpasswd": {"realm": "harbour", "path": f"{folder}/users"}}
        (folder / "registry.yml").write_text(yaml.safe_dump(config))
        self.process = subprocess.Popen(["docker-registry", "serve", f"{folder}/registry.yml"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        small_image(f"{folder}/image.tar")
        env = {**os.environ, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        copy = ["skopeo", "copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false", f"docker-archive:{folder}/image.tar",
                f"docker://{self.address}/team/tool:1", *([f"--dest-creds={USER}:{PASSWORD}"] if guarded else [])]
        wait_for("the registry to take the image", lambda: subprocess.run(copy, env=env, capture_output=True).returncode == 0)

    def close(self):
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        self.process.wait()


@pytest.fixture
def registry(cluster, tmp_path):
    server = Registry(tmp_path)
    yield server.address
    server.close()


@pytest.fixture
def guarded(cluster, tmp_path):
    server = Registry(tmp_path, guarded=True)
    yield server
    server.close()


def pod(name, image, **spec):
    return lab.pod(name, {"image": image}, **spec)


def test_pull(session, registry):
    session.apply(pod("pulled", f"{registry}/team/tool:1"))
    session.apply(pod("absent", f"{registry}/team/absent:1"))
    session.wait_event("Pod", "pulled", "Pulling", f'Pulling image "{registry}/team/tool:1"')
    session.wait_event("Pod", "pulled", "Pulled", f'Successfully pulled image "{registry}/team/tool:1" in .*')
    session.wait_ready("pulled")
    session.wait_event("Pod", "absent", "Failed", f'Failed to pull image "{registry}/team/absent:1": .*: not found')
    session.wait_event("Pod", "absent", "BackOff", f'Back-off pulling image "{registry}/team/absent:1".*')


def status(session, name):
    return next(row[2] for row in columns(session.out("get", "pods")) if row[0] == name)


def secret(session, name, server, password):
    session.k("create", "secret", "docker-registry", name, f"--docker-server={server}", f"--docker-username={USER}", f"--docker-password={password}")
    return {"imagePullSecrets": [{"name": name}]}


def test_pull_without_credentials(session, guarded):
    image = f"{guarded.address}/team/tool:1"
    session.apply(pod("stranger", image))
    session.apply(pod("impostor", image, **secret(session, "wrong", guarded.address, "guessed")))
    session.apply(pod("elsewhere", image, **secret(session, "other", "registry.test", PASSWORD)))
    for name in ("stranger", "impostor", "elsewhere"):
        message = session.wait_event("Pod", name, "Failed", f'Failed to pull image "{image}": .*')
        assert re.search("unauthorized|authentication required|may require authorization", message), message
        session.wait_event("Pod", name, "Failed", "Error: ErrImagePull")
        session.wait_event("Pod", name, "BackOff", f'Back-off pulling image "{image}"')
        wait_for("ImagePullBackOff", lambda name=name: status(session, name) == "ImagePullBackOff")


def puller(reference):
    """The process that pulls an image."""
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if words[0].endswith("skopeo") and any(reference in word for word in words):
                return entry
        except OSError:
            pass
    return None


def test_pull_with_credentials(session, guarded):
    image = f"{guarded.address}/team/tool:1"
    token = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    spec = secret(session, "harbour", guarded.address, PASSWORD)
    guarded.process.send_signal(signal.SIGSTOP)  # keeps the pull in progress while the test inspects it
    session.apply(pod("friend", image, **spec))
    process = wait_for("the pull", lambda: puller(image))
    for file in ("cmdline", "environ"):
        text = (process / file).read_bytes().decode(errors="replace")
        assert PASSWORD not in text and token not in text
    guarded.process.send_signal(signal.SIGCONT)
    session.wait_event("Pod", "friend", "Pulled", f'Successfully pulled image "{image}" in .*')
    session.wait_ready("friend")
    logs = "".join(path.read_text(errors="replace") for path in pathlib.Path(session.cluster.data_dir, "logs").iterdir())
    assert "agent" in logs and PASSWORD not in logs and token not in logs
    assert PASSWORD not in session.out("get", "events", "-o", "yaml")
