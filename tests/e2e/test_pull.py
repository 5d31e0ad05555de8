"""Images from a registry: Debian's docker-registry on 127.0.0.1, filled by skopeo from an archive that was built before."""
import json
import os
import subprocess

import lab
import pytest
from lab import wait_for


@pytest.fixture
def registry(cluster, tmp_path):
    port = lab.free_port()
    config = tmp_path / "registry.yml"
    config.write_text(f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {tmp_path}/blobs}}}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n")
    server = subprocess.Popen(["docker-registry", "serve", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    archive = max(lab.IMAGE_CACHE.glob("berth.test_web_1-*.tar"), key=os.path.getmtime)
    env = {**os.environ, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    copy = ["skopeo", "copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false", f"docker-archive:{archive}",
            f"docker://127.0.0.1:{port}/team/web:1"]
    wait_for("the registry to take the image", lambda: subprocess.run(copy, env=env, capture_output=True).returncode == 0)
    yield f"127.0.0.1:{port}"
    server.terminate()
    server.wait()


def pod(name, image):
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
                       "spec": {"terminationGracePeriodSeconds": 0,
                                "containers": [{"name": "c", "image": image, "command": ["sleep", "100000"]}]}})


def test_pull(session, registry):
    session.apply(pod("pulled", f"{registry}/team/web:1"))
    session.apply(pod("absent", f"{registry}/team/absent:1"))
    session.wait_event("Pod", "pulled", "Pulling", f'Pulling image "{registry}/team/web:1"')
    session.wait_event("Pod", "pulled", "Pulled", f'Successfully pulled image "{registry}/team/web:1" in .*')
    session.wait_ready("pulled")
    session.wait_event("Pod", "absent", "Failed", f'Failed to pull image "{registry}/team/absent:1": .*: not found')
    session.wait_event("Pod", "absent", "BackOff", f'Back-off pulling image "{registry}/team/absent:1".*')
