"""Clients for tests: local ones, and ones of a real server, behind a proxy if wanted."""

from __future__ import annotations

import itertools
import uuid

import pytest

from resonate import Resonate
from tests.processes.children import Children
from tests.sdk.proxy import Proxy

_numbers = itertools.count(1)


@pytest.fixture
def make():
    """Return a maker of things that have to be stopped or closed after the test."""
    made = []

    def keep(thing):
        made.append(thing)
        return thing

    yield keep
    for thing in reversed(made):
        if isinstance(thing, Resonate):
            thing.stop(0)
        else:
            thing.close()


@pytest.fixture
def local(make):
    return make(Resonate.local())


@pytest.fixture
def group():
    return f"group-{next(_numbers)}-{uuid.uuid4().hex[:6]}"


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """A server in memory, shared by all tests: each uses a group of its own.

    Its grace is long: what is handed over sooner was released by the client itself.
    """
    children = Children(tmp_path_factory.mktemp("server"))
    yield children.server("--grace-ms", "8000", durable=False)
    children.end()


@pytest.fixture
def children(tmp_path):
    found = Children(tmp_path)
    yield found
    found.end()


@pytest.fixture
def remote(server, make, group):
    """Return a maker of clients of the server, by default in the group of the test."""

    def connect(url=None, **arguments):
        return make(Resonate.remote(url or server.url, **{"group": group, **arguments}))

    return connect


@pytest.fixture
def proxy(server, make):
    return make(Proxy(server.url))


@pytest.fixture
def plain(server, make):
    """A server without our extensions."""
    return make(Proxy(server.url, plain=True))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    found = getattr(item, "funcargs", {}).get("children")
    if report.failed and found is not None:
        report.sections.append(("Output of the processes", found.report()))
    return report
