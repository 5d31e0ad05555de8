"""Jobs that complete, fail, are suspended and are cleaned up; cron jobs started manually; with each kubectl."""
import json

import lab
from lab import columns, wait_for


def job(name, script, **spec):
    return json.dumps({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name},
        "spec": {**spec, "template": {"spec": {
            "restartPolicy": "Never", "terminationGracePeriodSeconds": 1,
            "containers": [{"name": "c", "image": lab.WEB, "command": ["sh", "-c", script]}]}}}})


def conditions(k, name):
    return {c["type"]: c["reason"] for c in k.get("jobs", name)["status"].get("conditions", []) if c["status"] == "True"}


def pods_of(k, name):
    return k.pods_of(f"batch.kubernetes.io/job-name={name}")


def test_indexed_job(kubectl):
    k = kubectl
    k.apply(job("sum", "echo $JOB_COMPLETION_INDEX $(hostname)", completionMode="Indexed", completions=3, parallelism=2))
    assert k.out("wait", "--for=condition=complete", "job/sum", "--timeout=300s") == "job.batch/sum condition met\n"
    done = k.get("jobs", "sum")
    status = done["status"]
    assert (status["succeeded"], status["completedIndexes"], status["ready"], status["terminating"]) == (3, "0-2", 0, 0)
    assert conditions(k, "sum") == {"SuccessCriteriaMet": "CompletionsReached", "Complete": "CompletionsReached"}
    assert status["uncountedTerminatedPods"] == {} and status["startTime"] <= status["completionTime"]
    pods = pods_of(k, "sum")
    assert len(pods) == 3 and not any("finalizers" in p["metadata"] for p in pods)
    for pod in pods:
        index = pod["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"]
        assert pod["metadata"]["name"].startswith(f"sum-{index}-")
        assert k.out("logs", pod["metadata"]["name"]) == f"{index} sum-{index}\n"
    rows = columns(k.out("get", "jobs"))
    assert rows[0] == ["NAME", "STATUS", "COMPLETIONS", "DURATION", "AGE"] and rows[1][:3] == ["sum", "Complete", "3/3"]
    assert k.wait_event("Job", "sum", "Completed") == "Job completed"
    assert len([reason for reason, _ in k.events("Job", "sum") if reason == "SuccessfulCreate"]) == 3
    assert "field is immutable" in k.fails("patch", "job", "sum", "-p", '{"spec":{"completionMode":"NonIndexed"}}')
    k.k("delete", "job", "sum")
    wait_for("its pods to go", lambda: not pods_of(k, "sum"))


def test_failing_job(kubectl):
    k = kubectl
    k.apply(job("bad", "exit 3", backoffLimit=0))
    k.apply(job("hopeless", "exit 42", completions=2, parallelism=1, podFailurePolicy={"rules": [
        {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}]}))
    assert k.out("wait", "--for=condition=failed", "job/bad", "job/hopeless", "--timeout=300s").count("condition met") == 2
    assert conditions(k, "bad") == {"FailureTarget": "BackoffLimitExceeded", "Failed": "BackoffLimitExceeded"}
    assert conditions(k, "hopeless") == {"FailureTarget": "PodFailurePolicy", "Failed": "PodFailurePolicy"}
    assert k.get("jobs", "bad")["status"]["failed"] == 1
    assert k.wait_event("Job", "bad", "BackoffLimitExceeded") == "Job has reached the specified backoff limit"
    pod = pods_of(k, "hopeless")[0]["metadata"]["name"]
    assert k.wait_event("Job", "hopeless", "PodFailurePolicy") == (
        f"Container c for pod {k.ns}/{pod} failed with exit code 42 matching FailJob rule at index 0")
    # A pod orphaned by its job stays, and has no finalizer left.
    k.k("delete", "job", "hopeless", "--cascade=" + ("false" if k.old else "orphan"))
    wait_for("the pod's freedom", lambda: "ownerReferences" not in k.pod(pod)["metadata"])
    k.k("delete", "pod", pod, "--timeout=300s")


def test_suspended_job(kubectl):
    k = kubectl
    k.apply(job("nap", "sleep 1000", parallelism=2))
    wait_for("two pods", lambda: k.get("jobs", "nap")["status"].get("ready") == 2)
    k.k("patch", "job", "nap", "-p", '{"spec":{"suspend":true}}')
    wait_for("rest", lambda: conditions(k, "nap") == {"Suspended": "JobSuspended"} and not pods_of(k, "nap"))
    status = wait_for("the counts", lambda: (s := k.get("jobs", "nap")["status"])["terminating"] == 0 and s)
    assert "startTime" not in status and "failed" not in status and "active" not in status
    assert columns(k.out("get", "job", "nap"))[1][1] == "Suspended"
    k.k("patch", "job", "nap", "-p", '{"spec":{"suspend":false}}')
    wait_for("work", lambda: k.get("jobs", "nap")["status"].get("active") == 2)
    assert "startTime" in k.get("jobs", "nap")["status"]
    assert k.wait_event("Job", "nap", "Suspended") == "Job suspended" and k.wait_event("Job", "nap", "Resumed") == "Job resumed"
    k.k("patch", "job", "nap", "-p", '{"spec":{"activeDeadlineSeconds":1}}')
    assert "condition met" in k.out("wait", "--for=condition=failed", "job/nap", "--timeout=300s")
    assert conditions(k, "nap")["Failed"] == "DeadlineExceeded"
    assert k.get("jobs", "nap")["status"]["failed"] == 2


def test_expired_job(kubectl):
    k = kubectl
    k.apply(job("brief", "true", ttlSecondsAfterFinished=0))
    k.wait_gone("jobs", "brief")
    wait_for("its pod to go", lambda: not pods_of(k, "brief"))


def cron_job(name, schedule, script, **spec):
    return json.dumps({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name},
        "spec": {"schedule": schedule, **spec, "jobTemplate": {"spec": json.loads(job(name, script))["spec"]}}})


def create_by_hand(k, name, of):
    """kubectl create job NAME --from=cronjob/OF. kubectl 1.20 knows cron jobs only as batch/v1beta1, which Kubernetes removed."""
    if not k.old:
        assert k.out("create", "job", name, f"--from=cronjob/{of}") == f"job.batch/{name} created\n"
        return
    owner = k.get("cronjobs", of)
    reference = {"apiVersion": "batch/v1", "kind": "CronJob", "name": of, "uid": owner["metadata"]["uid"], "controller": True}
    k.apply(json.dumps({"apiVersion": "batch/v1", "kind": "Job", "spec": owner["spec"]["jobTemplate"]["spec"], "metadata": {
        "name": name, "annotations": {"cronjob.kubernetes.io/instantiate": "manual"}, "ownerReferences": [reference]}}))


def test_cron_job(session):
    k = session
    k.apply(cron_job("never", "0 0 1 1 *", "echo by hand", timeZone="Europe/Berlin", suspend=True))
    create_by_hand(k, "now", "never")
    assert "condition met" in k.out("wait", "--for=condition=complete", "job/now", "--timeout=60s")
    assert k.out("logs", "job/now") == "by hand\n"
    assert "Saw a job that the controller did not create or forgot: now" in k.wait_event("CronJob", "never", "UnexpectedJob")
    wait_for("the success to be noted", lambda: "lastSuccessfulTime" in k.get("cronjobs", "never")["status"])
    rows = columns(k.out("get", "cronjobs"))
    assert rows[0] == ["NAME", "SCHEDULE", "TIMEZONE", "SUSPEND", "ACTIVE", "LAST SCHEDULE", "AGE"]
    assert rows[1][:6] == ["never", "0 0 1 1 *", "Europe/Berlin", "True", "0", "<none>"]
    assert "unknown time zone Moon/Base" in k.fails("patch", "cronjob", "never", "-p", '{"spec":{"timeZone":"Moon/Base"}}')

    k.apply(cron_job("often", "@every 1s", "sleep 1000", concurrencyPolicy="Forbid"))
    made = wait_for("its job", lambda: k.get("cronjobs", "often")["status"].get("active"))[0]
    assert made["kind"] == "Job" and made["name"].startswith("often-") and made["uid"] == k.get("jobs", made["name"])["metadata"]["uid"]
    annotations = k.get("jobs", made["name"])["metadata"]["annotations"]
    assert annotations["batch.kubernetes.io/cronjob-scheduled-timestamp"].endswith("Z")
    assert k.wait_event("CronJob", "often", "SuccessfulCreate") == f"Created job {made['name']}"
    k.k("delete", "cronjob", "often", "never")
    wait_for("their jobs and pods to go", lambda: not k.list("jobs")["items"] and not k.list("pods")["items"])
