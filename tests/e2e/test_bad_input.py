"""Invalid requests are refused, and pods that cannot run are explained, by name, without effects on anything else."""
import json
import re

import lab
from lab import columns, wait_for


def pod(name, image=lab.WEB, **spec):
    return lab.pod(name, {"image": image, **spec.pop("container", {})}, **spec)


def test_image_that_is_not_here(session):
    session.apply(pod("never", "no.such/image:1", container={"imagePullPolicy": "Never"}))
    session.apply(pod("pull", "no.such/image:1"))
    session.apply(pod("odd", "No Such Image!"))
    session.apply(pod("good"))
    message = session.wait_event("Pod", "never", "ErrImageNeverPull")
    assert message == 'Container image "no.such/image:1" is not present with pull policy of Never'
    assert 'no.such/image:1' in session.wait_event("Pod", "pull", "Failed", "Failed to pull image")
    session.wait_event("Pod", "pull", "BackOff", 'Back-off pulling image "no.such/image:1"')
    session.wait_event("Pod", "odd", "InspectFailed", "couldn't parse image name|invalid reference format")
    session.wait_ready("good")
    status = {row[0]: row[2] for row in columns(session.out("get", "pods"))[1:]}
    assert status["never"] == "ErrImageNeverPull" and status["odd"] == "InvalidImageName"
    wait_for("ImagePullBackOff", lambda: re.search(r"^pull +0/1 +(ImagePullBackOff|ErrImagePull)", session.out("get", "pods"), re.M))


def test_claim_of_an_unknown_class(session):
    session.apply("""
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: lost}
spec:
  accessModes: [ReadWriteOnce]
  storageClassName: no-such-class
  resources: {requests: {storage: 1Gi}}
""")
    session.apply(pod("waits", volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "lost"}}]))
    assert 'storageclass.storage.k8s.io "no-such-class" not found' in session.wait_event(
        "PersistentVolumeClaim", "lost", "ProvisioningFailed")
    assert "persistentvolumeclaim" in session.wait_event("Pod", "waits", "FailedScheduling").lower()
    assert "lost" in session.out("describe", "pvc", "lost") and session.pod("waits")["status"]["phase"] == "Pending"


def test_claim_that_does_not_exist(session):
    session.apply(pod("waits", volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "nowhere"}}]))
    assert 'persistentvolumeclaim "nowhere" not found' in session.wait_event("Pod", "waits", "FailedScheduling")


def test_missing_configmap_and_secret(session):
    session.apply(pod("files", volumes=[{"name": "v", "configMap": {"name": "nowhere"}}],
                      container={"volumeMounts": [{"name": "v", "mountPath": "/v"}]}))
    session.apply(pod("env", container={"envFrom": [{"secretRef": {"name": "nowhere"}}]}))
    assert 'configmap "nowhere" not found' in session.wait_event("Pod", "files", "FailedMount")
    assert 'secret "nowhere" not found' in session.wait_event("Pod", "env", "Failed")
    wait_for("CreateContainerConfigError", lambda: "CreateContainerConfigError" in session.out("get", "pod", "env"))
    # The pod starts without further action when the object exists.
    session.k("create", "configmap", "nowhere", "--from-literal=a=b")
    session.k("create", "secret", "generic", "nowhere", "--from-literal=A=b")
    session.wait_ready("files", "env", timeout=100)


def test_impossible_request(session):
    session.apply(pod("huge", container={"resources": {"requests": {"memory": "100Ti", "cpu": "1000"}}}))
    message = session.wait_event("Pod", "huge", "FailedScheduling")
    assert message.startswith("0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory.")
    session.apply(pod("picky", nodeSelector={"disk": "gold"}))
    message = session.wait_event("Pod", "picky", "FailedScheduling")
    assert message.startswith("0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.")
    condition = session.pod("picky")["status"]["conditions"][0]
    assert (condition["type"], condition["status"], condition["reason"]) == ("PodScheduled", "False", "Unschedulable")


def test_body_over_three_mebibytes(session):
    path = f"/api/v1/namespaces/{session.ns}/configmaps"
    big = json.dumps({"metadata": {"name": "big"}, "data": {"a": "x" * (3 * 1024 * 1024 + 1)}})
    try:
        code, answer = session.cluster.request("POST", path, big)
        assert code == 413 and answer["reason"] == "RequestEntityTooLarge"
    except (BrokenPipeError, ConnectionResetError):
        pass  # the server may stop reading; the test only requires that nothing was stored and that the server still works
    assert session.cluster.request("GET", path + "/big")[0] == 404
    # The size limit of one object's data is lower; its error names that limit.
    nearly = json.dumps({"metadata": {"name": "big"}, "data": {"a": "x" * (2 * 1024 * 1024)}})
    code, answer = session.cluster.request("POST", path, nearly)
    assert code == 422 and "Too long" in answer["message"]


def test_malformed_bodies(session):
    path = f"/api/v1/namespaces/{session.ns}/configmaps"
    for body in ("{", "[]", '{"metadata": {"name": 7}}', '{"metadata": {"name": "a"}, "data": {"a": {}}}', "\xff\xfe", ""):
        code, answer = session.cluster.request("POST", path, body.encode("latin-1"))
        assert 400 <= code < 500 and answer["kind"] == "Status" and answer["message"], (body, code, answer)
    assert session.names("configmaps") == ["kube-root-ca.crt"]


MISSPELT = """
apiVersion: v1
kind: Pod
metadata: {name: misspelt}
spec:
  containers:
  - name: c
    image: %s
    comand: [sleep, "1000"]
""" % lab.WEB


def test_unknown_field(kubectl):
    error = kubectl.fails("apply", "-f", "-", stdin=MISSPELT)
    if kubectl.old:  # this kubectl validates against the schema that the server publishes
        assert re.search(r'ValidationError\(Pod.spec.containers\[0\]\): unknown field "comand" in io.k8s.api.core.v1.Container', error)
    else:
        assert re.search(r'strict decoding error: unknown field "spec.containers\[0\].comand"', error)
    assert kubectl.names("pods") == []
    if not kubectl.old:
        done = kubectl.k("apply", "--validate=warn", "-f", "-", stdin=MISSPELT)
        assert 'Warning: unknown field "spec.containers[0].comand"' in done.stderr and done.stdout == "pod/misspelt created\n"
    else:
        assert kubectl.out("apply", "--validate=false", "-f", "-", stdin=MISSPELT) == "pod/misspelt created\n"
    assert "comand" not in json.dumps(kubectl.pod("misspelt")["spec"])


def test_invalid_values_name_their_fields(kubectl):
    text = MISSPELT.replace("comand", "command").replace("misspelt", "Bad_Name")
    assert 'metadata.name: Invalid value: "Bad_Name": a lowercase RFC 1123 subdomain must consist of' in kubectl.fails("apply", "-f", "-", stdin=text)
    port = MISSPELT.replace('comand: [sleep, "1000"]', "ports: [{containerPort: 70000}]")
    assert "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive" in kubectl.fails(
        "apply", "-f", "-", stdin=port)
    mount = MISSPELT.replace('comand: [sleep, "1000"]', "volumeMounts: [{name: nothing, mountPath: /x}]")
    assert 'spec.containers[0].volumeMounts[0].name: Not found: "nothing"' in kubectl.fails("apply", "-f", "-", stdin=mount)
    assert kubectl.names("pods") == []


def test_damaged_image_archive(session, tmp_path):
    images = session.cluster.berth("image", "list").stdout
    for name, content in (("empty", b""), ("noise", b"\x1f\x8b" + b"noise" * 1000), ("text", b"hello")):
        path = tmp_path / name
        path.write_bytes(content)
        done = session.cluster.berth("image", "import", str(path), check=False)
        assert done.returncode == 1 and str(path) in done.stderr
    missing = session.cluster.berth("image", "import", str(tmp_path / "nowhere"), check=False)
    assert missing.returncode == 1 and "no such file" in missing.stderr
    assert session.cluster.berth("image", "list").stdout == images
