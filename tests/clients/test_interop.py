"""Calls between the official SDKs and ours: a value and an error, in each direction."""

from __future__ import annotations

import pytest

from resonate.errors import RemoteError
from tests.clients.clients import CLIENTS, result
from tests.processes.children import HERE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]  # the first use installs

OURS = HERE.parent / "clients" / "ours.py"
# From call.py: a value and an error, first called directly, then from a workflow.
ANSWERS = [5, "failed: no", 5, "failed: no"]


def test_we_call_their_worker(client, us):
    client.start("worker", "theirs")
    there = us.options(target="theirs")
    assert there.begin_rpc("add-1", "add", 2, 3).result(20) == 5
    with pytest.raises(RemoteError) as caught:
        there.begin_rpc("fail-1", "fail", "no").result(20)
    assert caught.value.message == "no"


def test_they_call_our_worker(client, children, server):
    children.spawn("ours", OURS, server.url, "ours")
    assert client.run("call", "ours") == {"ours": ANSWERS}


def test_every_official_sdk_calls_every_other_over_our_server(client_of):
    clients = [client_of(name) for name in CLIENTS]
    for client in clients:
        client.start("worker", client.name)
    callers = []
    for client in clients:
        others = [name for name in CLIENTS if name != client.name]
        callers.append((others, client.start("call", *others)))
    for others, caller in callers:
        assert result(caller) == dict.fromkeys(others, ANSWERS)
