from __future__ import annotations

import pytest

from tests.store.stores import DURABLE, STORES, Stores


@pytest.fixture(params=STORES)
def stores(request, tmp_path):
    return Stores(request.param, tmp_path)


@pytest.fixture(params=DURABLE)
def durable(request, tmp_path):
    return Stores(request.param, tmp_path)
