import os
import shutil
import signal
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))
import lab  # noqa: E402


def pytest_configure(config):
    """SIGTERM ends the run as ^C does: with the fixtures' clean-up."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def _end(cluster):
    cluster.down("--purge", "--grace", "2", check=False)
    left = cluster.leftovers()
    for directory in (cluster.data_dir, cluster.home):
        shutil.rmtree(directory, ignore_errors=True)
    assert not left, "left behind after down --purge: " + "; ".join(left)


@pytest.fixture(scope="session")
def cluster():
    """One cluster for all tests that do not need one of their own; each test works in a namespace of its own."""
    c = lab.Cluster()
    try:
        c.up()
        c.image(lab.WEB)
        yield c
    finally:
        _end(c)


@pytest.fixture(scope="session")
def database(cluster):
    """The database image, on the shared cluster."""
    cluster.image(lab.DATABASE)
    return lab.DATABASE


@pytest.fixture(scope="module")
def own_cluster():
    """A cluster of a module's own, to be hurt: not up yet."""
    c = lab.Cluster()
    try:
        yield c
    finally:
        _end(c)


@pytest.fixture(scope="module", params=sorted(lab.kubectls()))
def story(request, cluster):
    """A namespace for the tests of a module, which follow each other as in a tutorial; once with each kubectl."""
    session = lab.Session(cluster, lab.kubectls()[request.param])
    yield session
    session.close()


@pytest.fixture(params=sorted(lab.kubectls()))
def kubectl(request, cluster):
    """A namespace for one test, which runs once with each kubectl."""
    session = lab.Session(cluster, lab.kubectls()[request.param])
    yield session
    session.close()


@pytest.fixture
def session(cluster):
    """A namespace for one test, where it does not matter which kubectl speaks."""
    s = lab.Session(cluster)
    yield s
    s.close()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for name in ("own_cluster", "cluster"):
            if name in item.funcargs:
                report.sections.append(("cluster logs", item.funcargs[name].logs()))
                break
