import os
import shutil
import signal
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))
import lab  # noqa: E402


def pytest_configure(config):
    """Ends the run on SIGTERM as on ^C, so that the fixtures clean up."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def _end(cluster):
    cluster.down("--purge", "--grace", "2", check=False)
    left = cluster.leftovers()
    for directory in (cluster.data_dir, cluster.home):
        shutil.rmtree(directory, ignore_errors=True)
    assert not left, "left behind after down --purge: " + "; ".join(left)


@pytest.fixture(scope="session")
def cluster():
    """One cluster shared by all tests that need none of their own; each test uses its own namespace."""
    c = lab.Cluster()
    try:
        c.up()
        c.image(lab.WEB)
        yield c
    finally:
        _end(c)


@pytest.fixture(scope="session")
def database(cluster):
    """Imports the database image into the shared cluster."""
    cluster.image(lab.DATABASE)
    return lab.DATABASE


@pytest.fixture(scope="module")
def own_cluster():
    """A cluster for one module only, for tests that damage it. It is not started yet."""
    c = lab.Cluster()
    try:
        yield c
    finally:
        _end(c)


@pytest.fixture(scope="module", params=sorted(lab.kubectls()))
def story(request, cluster):
    """One namespace for all tests of a module, which build on each other; the module runs once with each kubectl version."""
    session = lab.Session(cluster, lab.kubectls()[request.param])
    yield session
    session.close()


@pytest.fixture(params=sorted(lab.kubectls()))
def kubectl(request, cluster):
    """A namespace for one test; the test runs once with each kubectl version."""
    session = lab.Session(cluster, lab.kubectls()[request.param])
    yield session
    session.close()


@pytest.fixture
def session(cluster):
    """A namespace for one test that runs only once, with the newest kubectl."""
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
