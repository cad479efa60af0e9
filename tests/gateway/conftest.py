from __future__ import annotations

import logging

import pytest

from tests.gateway.servers import LOOPS, Server


class Complaints(logging.Handler):
    """Keeps what is logged as an error: a defect, unless the test expects it."""

    def __init__(self):
        super().__init__(logging.ERROR)
        self.records = []

    def emit(self, record):
        self.records.append(self.format(record))

    def expected(self):
        """Return what was logged, and forget it."""
        found, self.records = self.records, []
        return found


@pytest.fixture(autouse=True)
def complaints():
    handler = Complaints()
    logging.getLogger().addHandler(handler)
    yield handler
    logging.getLogger().removeHandler(handler)
    assert handler.records == []


@pytest.fixture(scope="module")
def server():
    """One server for all tests of a module: what one of them breaks, the next one notices."""
    running = Server()
    yield running
    running.probe()
    running.stop()


@pytest.fixture(scope="module", params=LOOPS)
def either(request):
    """The same on both event loops: they differ in when they write and in what closed means."""
    running = Server(loop=request.param)
    yield running
    running.probe()
    running.stop()


@pytest.fixture
def fresh():
    """Make servers that end with the test."""
    running = []

    def make(**options):
        running.append(Server(**options))
        return running[-1]

    yield make
    for each in running:
        each.stop()
