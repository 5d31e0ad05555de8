"""Replays recorded responses of Kubernetes 1.36.2 (tests/data/recorded-1.36). `tools/replay` prints the differences."""
import concurrent.futures
import json
import pathlib
import shutil
import sys

import pytest

import lab

RECORDED = pathlib.Path(__file__).resolve().parent.parent / "recorded"
sys.path.insert(0, str(RECORDED))
import replay  # noqa: E402
import report  # noqa: E402

# The minimum share of equal rows: the measured share, minus a margin for chance and a busy machine. It is only ever raised.
FLOORS = json.loads((RECORDED / "floors.json").read_text())


def replayed(name):
    """Replays a recording on a new cluster: recorded conversations expect an empty one."""
    cluster = lab.Cluster()
    try:
        cluster.up()
        return replay.RECORDINGS[name](f"{cluster.data_dir}/kubeconfig")
    finally:
        cluster.down("--purge", "--grace", "1", check=False)
        for directory in (cluster.data_dir, cluster.home):
            shutil.rmtree(directory, ignore_errors=True)


def deployment(generation, observed, replicas, **metadata):
    return {"kind": "Deployment", "metadata": {"name": "d", "generation": generation, **metadata}, "spec": {"replicas": replicas},
            "status": {"observedGeneration": observed, "replicas": replicas, "conditions": [{"type": "Available", "status": "True"}]}}


def test_only_what_the_recorded_controllers_had_yet_to_write_is_not_compared():
    before = deployment(3, 3, 7, annotations={replay.REVISION: "3"})
    in_time, late = deployment(4, 3, 2), deployment(4, 2, 2)
    assert replay.as_far(in_time, before, False, None) == in_time
    expected = replay.as_far(late, before, False, {"spec": {}})
    assert expected == {**late, "status": before["status"], "metadata": {**late["metadata"], "annotations": {replay.REVISION: "3"}}}
    # Values that the request contains count as recorded.
    late["status"]["conditions"].append({"type": "X", "status": "True"})
    asked = {"status": {"conditions": [{"type": "X", "status": "True"}], "replicas": 2}}
    assert replay.as_far(late, before, False, asked)["status"] == {**before["status"], "replicas": 2, "conditions": late["status"]["conditions"]}


def test_values_of_the_servers_own_must_have_the_recorded_form():
    ours, theirs = {"gitVersion": "v1.36.0+berth", "goVersion": "none"}, {"gitVersion": "v1.36.2", "goVersion": "go1.26.10"}
    assert replay.without_own_values(ours) == replay.without_own_values(theirs)
    for wrong in ({"gitVersion": "v1.35.0+berth", "goVersion": "none"}, {"gitVersion": "v1.36.0+berth", "goVersion": ""},
                  {"gitVersion": "v1.36.0+berth"}, {"gitVersion": "1.36.0", "goVersion": "none"}):
        assert replay.without_own_values(wrong) != replay.without_own_values(theirs)


@pytest.fixture(scope="module")
def results():
    # In parallel: each conversation mostly waits.
    with concurrent.futures.ThreadPoolExecutor() as pool:
        running = {name: pool.submit(replayed, name) for name in replay.RECORDINGS}
        return {name: result.result() for name, result in running.items()}


@pytest.mark.parametrize("name", sorted(replay.RECORDINGS))
def test_answers_are_those_of_kubernetes(results, name):
    differences, rows, _ = report.of_served_kinds(*results[name])
    share = 1 - len(differences) / rows
    shown = "\n".join(f"{d.what}: {d.row}" for d in differences[:40])
    assert share >= FLOORS[name], f"{name}: {share:.2%} of {rows} rows the same; the first that are not:\n{shown}"


def test_nothing_is_refused_or_accepted_by_mistake_beyond_the_floor(results):
    """A wrong acceptance or refusal weighs more than a wrong message."""
    differences, rows = results["requests"]
    wrong = [d for d in differences if d.what in ("wrongly accepted", "wrongly refused")]
    assert len(wrong) / rows <= FLOORS["wrong verdicts on requests"], "\n".join(f"{d.what}: {d.row}" for d in wrong[:40])
