"""A harness for each test, and what makes a workflow of either flavour."""

from __future__ import annotations

import pytest

from resonate.testing import Harness
from tests.testing.flavours import FLAVOURS, ship


@pytest.fixture
def harness():
    with Harness() as found:
        yield found


@pytest.fixture(params=FLAVOURS)
def order(request, harness):
    """The workflow of flavours.py, registered."""
    harness.register(ship)
    harness.register(FLAVOURS[request.param])
    return FLAVOURS[request.param]
