"""Protobuf responses, which kubectl's typed clients request: kubectl must print the same as from JSON."""
import json

import lab

WITHOUT_TIMES = ("managedFields", "resourceVersion")


def plain(thing):
    """Removes fields that controllers changed in between, and empty fields: protobuf does not distinguish empty from absent."""
    if isinstance(thing, dict):
        members = {k: plain(v) for k, v in thing.items() if k not in (*WITHOUT_TIMES, "status", "annotations")}
        return {k: v for k, v in members.items() if v not in (None, "", {}, [])}
    return [plain(v) for v in thing] if isinstance(thing, list) else thing


def test_kubectl_reads_what_it_asked_for(session):
    made = {}
    for kind, *args in (["deployment", "web", f"--image={lab.WEB}", "--replicas=0", "--port=80"],
                        ["configmap", "settings", "--from-literal=a=1", "--from-literal=empty="],
                        ["secret", "generic", "keys", "--from-literal=k=v"],
                        ["job", "once", f"--image={lab.WEB}", "--", "true"],
                        ["service", "clusterip", "front", "--tcp=80:8080"]):
        made[kind] = json.loads(session.out("create", kind, "-o", "json", *args))
    for kind, answer in made.items():
        assert answer["metadata"]["uid"] and answer["metadata"]["creationTimestamp"]
        stored = json.loads(session.out("get", kind, answer["metadata"]["name"], "-o", "json"))
        assert plain(answer) == plain(stored), kind
    asked = session.k("create", "configmap", "seen", "--from-literal=a=1", "-v=8").stderr
    assert "application/vnd.kubernetes.protobuf,application/json" in asked  # otherwise the test would compare JSON with JSON
