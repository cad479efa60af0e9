"""Processes that tests of examples and pages start."""

from __future__ import annotations

import pytest

from tests.processes.children import Children


@pytest.fixture
def children(tmp_path):
    found = Children(tmp_path)
    yield found
    found.end()
