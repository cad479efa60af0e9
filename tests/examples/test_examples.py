"""The programs in ``examples/``, each by itself in this process, and with a server and crashes."""

from __future__ import annotations

import asyncio
import http.client
import importlib.util
import json
import re
import signal
import sys
import threading
import urllib.parse
from pathlib import Path

import pytest
import uvicorn

from tests.processes.children import free_port, until

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def load(monkeypatch):
    """Return a loader of examples as modules, as ``python examples/NAME`` without a server."""
    monkeypatch.delenv("RESONATE_URL", raising=False)
    loaded = []

    def loaded_as(name):
        spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        loaded.append(module)
        return module

    yield loaded_as
    for module in loaded:
        stopping = module.resonate.stop(0)
        if stopping is not None:  # that of an AsyncResonate
            asyncio.run(stopping)


@pytest.fixture
def run(load, capsys):
    """Return what calls the main function of an example, and returns the lines that it printed."""

    def lines(name, *arguments):
        load(name).main(*arguments)
        return capsys.readouterr().out.splitlines()

    return lines


def test_countdown(run):
    assert run("countdown", "launch", "2", "0.01") == [
        "2 …",
        "1 …",
        "lift-off",
        "counted down from 2",
    ]


def test_fan_out(run):
    assert run("fan_out") == ["6 the", "3 and", "1 ant"]


def test_factorial(run):
    assert run("factorial", "20") == [
        "20! = 2432902008176640000",
        "6 is stored as the result of factorial-3",
    ]


def test_saga(run, tmp_path):
    bank = str(tmp_path / "bank.db")
    assert run("saga", "transfer-1", "bob", bank) == ["done", "alice -500", "bob 500"]


def test_saga_is_taken_back(run, tmp_path):
    bank = str(tmp_path / "bank.db")
    assert run("saga", "transfer-2", "closed", bank) == [
        "taken back: closed takes no money",
        "alice 0",
    ]


def test_pipeline(run):
    assert run("pipeline") == [
        "extracting 2026-07-01",
        "2026-07-01: Oslo 40 °F, Rome 64 °F, Cairo 78 °F",
        "3 loaded",
    ]


def test_schedule(run):
    *reports, last = run("schedule", "2")
    assert reports[:2] == ["report of the weather, called by reports"] * 2
    assert re.fullmatch(r"each call is a promise, such as reports\.\d{13}", last)


def test_scraper(run):
    assert run("scraper", "", "10", "0.01") == [
        "/ Home",
        "/a Page A",
        "/b Page B",
        "/missing (NotThere)",
    ]


@pytest.mark.parametrize(
    ("answer", "outcome"), [("true", "order of 120 shipped"), ("false", "order of 120 refused")]
)
def test_approval(load, capsys, answer, outcome):
    approval = load("approval")
    port = free_port()
    program = threading.Thread(target=approval.main, args=("demo", "120", str(port)))
    program.start()
    try:
        until(lambda: f":{port}" in capsys.readouterr().out)
        page = until(lambda: found if "form" in (found := ask(port, "GET")) else None)
        assert "May we spend 120?" in page
        id = re.search(r"value='(order-[^']*)'", page)[1]
        ask(port, "POST", urllib.parse.urlencode({"id": id, "answer": answer}))
    finally:
        program.join(20)
    assert outcome in capsys.readouterr().out.splitlines()


def test_small_orders_need_no_approval(load):
    approval = load("approval")
    assert approval.order.run("small", 99) == "order of 99 shipped"


def ask(port, method, body=None, path="/"):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("name", "unknown"),
    [("web", {"state": "unknown"}), ("fastapi_app", {"detail": "no such report"})],
)
def test_web_with_starlette_and_fastapi(load, name, unknown):
    web = load(name)
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(web.app, port=port, log_config=None))
    serving = threading.Thread(target=server.run)
    serving.start()
    try:
        until(lambda: server.started)
        assert json.loads(ask(port, "GET", path="/reports/july")) == unknown
        for _ in range(2):  # the second changes nothing
            begun = ask(port, "PUT", path="/reports/july?pages=2")
            assert json.loads(begun) == {"id": "report-july"}
        done = until(lambda: found if (found := look(port))["state"] != "pending" else None)
        assert done == {"state": "resolved", "result": ["page 1", "page 2"]}
    finally:
        server.should_exit = True
        serving.join(10)


def look(port):
    return json.loads(ask(port, "GET", path="/reports/july"))


# ---------------------------------------------------------------------------- with a server

PROGRAMS = {
    "countdown": (["countdown-1", "2", "0.01"], "counted down from 2"),
    "fan_out": ([], "6 the"),
    "factorial": (["5"], "5! = 120"),
    "saga": ([], "done"),
    "pipeline": ([], "3 loaded"),
    "schedule": (["1"], "each call is a promise"),
    "scraper": (["", "10", "0.01"], "/missing (NotThere)"),
}


def program(children, url, name, *arguments):
    return children.spawn(name, EXAMPLES / f"{name}.py", *arguments, RESONATE_URL=url)


@pytest.mark.slow
def test_every_example_runs_with_a_server(children, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    url = children.server("--grace-ms", "200", durable=False).url
    running = {
        name: program(children, url, name, *arguments) for name, (arguments, _) in PROGRAMS.items()
    }
    for name, child in running.items():
        assert child.wait(30) == 0, child.text
        assert PROGRAMS[name][1] in child.text


@pytest.mark.slow
def test_a_killed_countdown_goes_on_where_it_was(children):
    url = children.server("--grace-ms", "200").url
    first = program(children, url, "countdown", "launch-1", "5", "0.2")
    first.wait_for("3 …")
    first.send(signal.SIGKILL)
    first.wait()
    second = program(children, url, "countdown", "launch-1", "5", "0.2")
    assert second.wait(30) == 0, second.text
    said = second.text.splitlines()
    assert said[-2:] == ["lift-off", "counted down from 5"]
    # the step under way when it was killed may run again, and nothing before it
    assert said in (["3 …", "2 …", "1 …", *said[-2:]], ["2 …", "1 …", *said[-2:]])


@pytest.mark.slow
def test_an_approval_outlives_the_page_and_whoever_asked(children):
    server = children.server("--grace-ms", "200")
    port = free_port()
    asking = program(children, server.url, "approval", "order", "120")
    worker = program(children, server.url, "approval", "page", "120", port)
    worker.wait_for(str(port))
    page = until(lambda: found if "form" in (found := ask(port, "GET")) else None)
    id = re.search(r"value='(order-[^']*)'", page)[1]
    for child in (worker, asking):
        child.send(signal.SIGKILL)
        child.wait()
    heir = program(children, server.url, "approval", "page", "120", port)
    heir.wait_for(str(port))
    ask(port, "POST", urllib.parse.urlencode({"id": id, "answer": "true"}))
    heir.wait_for("shipping for 120")


def test_every_example_is_listed_and_says_how_to_run_it():
    listed = set(re.findall(r"\]\(([\w-]+)(?:\.py|/README\.md)\)", readme()))
    there = {path.stem for path in EXAMPLES.glob("*.py")}
    there |= {path.parent.name for path in EXAMPLES.glob("*/README.md")}
    assert listed == there
    for path in EXAMPLES.glob("*.py"):
        assert f"python examples/{path.name}" in path.read_text(encoding="utf-8").split('"""')[1]


def readme():
    return (EXAMPLES / "README.md").read_text(encoding="utf-8")


def test_the_param_of_an_approval_is_the_question(load):
    approval = load("approval")
    approval.order.begin_run("big", 500)
    found = until(lambda: list(approval.resonate.promises.search_all(tags=approval.APPROVAL)))
    assert json.loads(found[0].param.data) == "May we spend 500?"
