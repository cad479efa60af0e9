"""Processes for tests: ended whatever happens, their output shown when the test failed."""

from __future__ import annotations

import pytest

from resonate import Resonate
from tests.processes.children import Children


@pytest.fixture
def children(tmp_path):
    found = Children(tmp_path)
    yield found
    found.end()


@pytest.fixture
def connect():
    """Return a maker of clients that are stopped after the test."""
    made = []

    def make(url):
        made.append(Resonate.remote(url, group="test").options(target="workers"))
        return made[-1]

    yield make
    for resonate in made:
        resonate.stop(0)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    found = getattr(item, "funcargs", {}).get("children")
    if report.failed and found is not None:
        report.sections.append(("Output of the processes", found.report()))
    return report
