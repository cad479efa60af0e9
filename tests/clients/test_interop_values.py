"""Values, errors, typed arguments and workflows between the official SDKs and ours."""

from __future__ import annotations

import base64
import json
import re
import signal
from dataclasses import dataclass

import pytest

from resonate.errors import RemoteError, ResonateCanceledError, ResonateTimedoutError
from tests.clients.clients import result
from tests.processes.children import HERE, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]  # the first use installs

OURS = HERE.parent / "clients" / "ours_values.py"
PYTHON = ["python-0.8.1", "python-0.7.4"]
FLAVOURS = ["generator", "coroutine", "plain"]
NESTED = {"a": [None, True, {"b": [], "": {}}], "ключ 🗝": 'naïve ✓ \n\t"\\ \x00 \u2028'}
VALUES = [None, False, 0, 2**53 - 1, 0.1, -2.5e-300, 1e300, "", "🗝", [], {}, [[None]], NESTED]
# What JSON has and JavaScript has not.
ONLY_PYTHON = [3.0, 2**53 + 1, -(2**63), 2**64 - 1, -0.0, 5e-324]


def written(value):
    """Return a text that tells 1 from 1.0, and 0.0 from -0.0."""
    return json.dumps(value, sort_keys=True)


def complete(name, args, kwargs=(), *seconds):
    """Return a call as the clients' programs read it."""
    return [name, args, dict(kwargs), *seconds]


@pytest.fixture
def ours(children, server):
    """Our worker, in the group "ours"."""
    return children.spawn("ours", OURS, server.url, "ours")


@pytest.fixture
def make(client):
    """Return a maker of calls by the client's program."""

    def calls(mode, *listed):
        return client.run("values", mode, "ours", json.dumps([complete(*each) for each in listed]))

    return calls


@pytest.mark.parametrize("mode", ["call", "flow"])
def test_values_go_from_them_to_our_worker_and_back(client, make, ours, mode):
    values = [*VALUES, *ONLY_PYTHON] if client.name in PYTHON else VALUES
    found = make(mode, *(["echo", [value]] for value in values))
    assert [written(each["value"]) for each in found] == [written(each) for each in values]


def test_values_go_from_us_to_their_worker_and_back(client, us):
    client.start("values", "work", "theirs")
    there = us.options(target="theirs")
    values = [*VALUES, *ONLY_PYTHON] if client.name in PYTHON else VALUES
    handles = [there.begin_rpc(f"echo-{n}", "echo", value) for n, value in enumerate(values)]
    assert [written(each.result(20)) for each in handles] == [written(each) for each in values]


@pytest.mark.parametrize("name", PYTHON)  # TypeScript has no named arguments
def test_named_arguments_go_both_ways(client_of, us, ours, name):
    client = client_of(name)
    client.start("values", "work", "theirs")
    there = us.options(target="theirs")
    expected = {"value": 1, "word": "ö"}
    assert there.begin_rpc("named", "echo", word="ö", value=1).result(20) == expected
    calls = json.dumps([["echo", [], expected]])
    assert client.run("values", "call", "ours", calls) == [{"value": expected}]


@pytest.mark.parametrize("mode", ["call", "flow"])
def test_they_read_what_our_worker_raises(client, make, us, ours, mode):
    kinds = ["ValueError", "KeyError", "own"]
    found = make(mode, *(["refuse", ["so ✓", kind]] for kind in kinds))
    # A KeyError's text is its argument as Python writes it.
    assert [each["text"] for each in found] == ["so ✓", "'so ✓'", "so ✓"]
    if client.name in PYTHON:
        assert {each["error"] for each in found} == {"ApplicationError"}
    else:
        assert [each["error"] for each in found] == ["ValueError", "KeyError", "RefusedError"]


@pytest.mark.parametrize("name", PYTHON)  # TypeScript sends no pickle
def test_we_read_what_their_worker_raises_and_unpickle_nothing(client_of, us, tmp_path, name):
    client_of(name).start("values", "work", "theirs")
    there, written = us.options(target="theirs"), tmp_path / "written"
    with pytest.raises(RemoteError) as caught:
        there.begin_rpc("trap", "trap", "no ✓", str(written)).result(20)
    assert caught.value.message == "no ✓"
    pickled = json.loads(us.promises.get("trap").value.data)["__py_pickle"]
    assert str(written).encode() in base64.b64decode(pickled)
    assert not written.exists()


def test_an_error_of_ours_holds_no_pickle(us, ours):
    with pytest.raises(ValueError, match=r"^no$"):
        us.options(target="ours").begin_rpc("refused", "refuse", "no").result(20)
    assert "pickle" not in us.promises.get("refused").value.data


def test_their_plain_object_arrives_as_the_class_that_our_function_asks_for(make, ours):
    order = {"item": "chair", "prices": [1.5, 2], "unknown": None}
    whole, part = make("call", ["total", [order]], ["total", [{"item": 7}]])
    assert whole == {"value": ["Order", "chair", 3.5]}
    assert re.search(r"order.*(item|prices)", part["text"]), part


# What they raise when a call's time is up; a workflow of theirs makes it of the value, which is empty.
TIMED_OUT = {
    "python-0.8.1": {"call": "timeout", "flow": "unknown error: null"},
    "python-0.7.4": {"call": "timeout", "flow": "unknown error: null"},
    "typescript-0.11.5": {"call": "Promise timedout", "flow": None},
}


@pytest.mark.parametrize("mode", ["call", "flow"])
def test_their_call_of_our_worker_times_out(client, make, ours, mode):
    (found,) = make(mode, ["linger", [], {}, 0.5])
    assert found["text"] == TIMED_OUT[client.name][mode]


def test_our_call_of_their_worker_times_out(client, us):
    client.start("values", "work", "theirs")
    there = us.options(target="theirs")
    assert there.begin_rpc("up", "echo", 1).result(20) == 1
    handle = there.options(timeout=0.5).begin_rpc("brief", "linger")
    with pytest.raises(ResonateTimedoutError):
        handle.result(20)


def test_what_we_cancel_ends_for_their_caller(client, us, ours):
    calls = json.dumps([complete("linger", [])])
    caller = client.start("values", "call", "ours", calls)
    until(lambda: us.promises.search(id_prefix="call-0").promises, 20)
    assert us.promises.cancel("call-0").canceled
    (found,) = result(caller)
    assert found["text"] == "Promise canceled"


def test_what_their_worker_works_on_can_be_canceled(client, us):
    client.start("values", "work", "theirs")
    there = us.options(target="theirs")
    assert there.begin_rpc("up", "echo", 1).result(20) == 1
    handle = there.begin_rpc("long", "linger")
    assert handle.cancel()
    with pytest.raises(ResonateCanceledError):
        handle.result(20)
    assert there.begin_rpc("after", "echo", 2).result(20) == 2


@dataclass
class Order:
    item: str
    prices: list[float]


def test_our_dataclass_arrives_as_the_class_that_their_function_asks_for(client, us):
    client.start("values", "work", "theirs")
    there = us.options(target="theirs")
    total = there.begin_rpc("total-1", "total", Order("chair", [1.5, 2])).result(20)
    assert total == ["Order", "chair", 3.5]


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_our_workflow_calls_their_worker(client, us, ours, flavour):
    client.start("values", "work", "theirs")
    there = us.options(target="ours")
    found = there.begin_rpc("workflow-1", flavour, "theirs", NESTED).result(20)
    assert found == [NESTED, ["Order", "chair", 3.5], NESTED, "no"]


def test_their_workflow_calls_our_workflows_which_call_them(client, make, ours):
    client.start("values", "work", "theirs")
    found = make("flow", *([flavour, ["theirs", NESTED]] for flavour in FLAVOURS))
    assert found == [{"value": [NESTED, ["Order", "chair", 3.5], NESTED, "no"]}] * 3


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_our_workflow_outlives_its_worker_while_they_work_for_it(
    client_of, children, server, us, ours, flavour
):
    there = us.options(target="ours")
    assert there.begin_rpc("up", "echo", 1).result(20) == 1
    handle = there.begin_rpc("workflow-1", flavour, "theirs", NESTED)
    until(lambda: us.promises.search(id_prefix="workflow-1.").promises)
    ours.send(signal.SIGKILL)
    assert ours.wait() == -signal.SIGKILL
    children.spawn("ours again", OURS, server.url, "ours")
    client_of("python-0.8.1").start("values", "work", "theirs")
    assert handle.result(30) == [NESTED, ["Order", "chair", 3.5], NESTED, "no"]


def test_their_client_of_promises_answers_our_workflow(client, us, ours):
    handle = us.options(target="ours").begin_rpc("asks", "ask")
    for id, answer, state in (("first", "YES", "resolved"), ("second", "NO", "rejected")):
        until(lambda id=id: us.promises.search(id_prefix=id).promises)
        assert client.run("human", "answer", id, answer) == state
    assert handle.result(20) == [{"said": "YES"}, "refused: too dear"]
