"""Official clients for tests: their programs, as processes, against a server of ours.

A client that cannot be installed is the one thing that is skipped in CI too: no registry may be
able to turn our build red. A line at the end of the run says which, and why.
"""

from __future__ import annotations

import os

import pytest

from resonate import Resonate
from tests.clients.clients import CLIENTS, Client
from tests.clients.environments import Unavailable, prepare
from tests.processes.children import Children

LONG = "RESONATE_CLIENTS_LONG"
MISSING = {}  # what is to be said at the end, by client


@pytest.fixture
def children(tmp_path):
    found = Children(tmp_path)
    yield found
    found.end()


@pytest.fixture
def server(children):
    return children.server()


@pytest.fixture(scope="session")
def installed():
    """Return a getter of environments, which skips the test when there is none."""
    found = {}

    def get(name):
        if name not in found and name not in MISSING:
            try:
                found[name] = prepare(name)
            except Unavailable as why:
                MISSING[name] = f"OFFICIAL CLIENT NOT TESTED: {name} cannot be installed: {why}"
        if name in MISSING:
            pytest.skip(MISSING[name])
        return found[name]

    return get


@pytest.fixture
def client_of(installed, children, server):
    """Return a maker of clients by name."""
    return lambda name: Client(installed(name), children, server.url)


@pytest.fixture(params=CLIENTS)
def client(request, client_of):
    return client_of(request.param)


@pytest.fixture
def us(server):
    """Our own SDK, as a caller."""
    resonate = Resonate.remote(server.url, group="us")
    yield resonate
    resonate.stop(0)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    found = getattr(item, "funcargs", {}).get("children")
    if report.failed and found is not None:
        report.sections.append(("Output of the processes", found.report()))
    return report


def pytest_terminal_summary(terminalreporter):
    """Say once for each client what the skips of its tests say."""
    for line in MISSING.values():
        terminalreporter.write_line(line, red=True, bold=True)


def pytest_collection_modifyitems(config, items):
    """Leave out what takes minutes, unless it was asked for."""
    if os.environ.get(LONG):
        return
    long = [item for item in items if item.path.name == "test_long.py"]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]
