from __future__ import annotations

import pytest

from tests.engine.cluster import Servers
from tests.store.stores import Stores


@pytest.fixture(params=["memory", "sqlite"])
def servers(request, tmp_path):
    return Servers(Stores(request.param, tmp_path))


@pytest.fixture
def memory(tmp_path):
    return Servers(Stores("memory", tmp_path))


@pytest.fixture
def cold(tmp_path):
    """SQLite without a cache: every object is read from the file."""
    return Servers(Stores("sqlite-cold", tmp_path))


@pytest.fixture
def sqlite(tmp_path):
    return Servers(Stores("sqlite", tmp_path))
