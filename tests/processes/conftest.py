"""Processes for tests: ended whatever happens, their output shown when the test failed."""

from __future__ import annotations

import pytest

from tests.processes.children import Children


@pytest.fixture
def children(tmp_path):
    found = Children(tmp_path)
    yield found
    found.end()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    found = getattr(item, "funcargs", {}).get("children")
    if report.failed and found is not None:
        report.sections.append(("Output of the processes", found.report()))
    return report
