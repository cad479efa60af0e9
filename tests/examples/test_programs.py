"""The programs of the how-to pages that need a server, processes, or things the page leaves out."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import signal
import sys
import types
import urllib.request
from pathlib import Path

import pytest

from resonate import AsyncResonate, Resonate
from resonate.errors import ResonateTimedoutError
from tests.processes.children import free_port, until

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HERE = ("asyncio", "call-safely", "cpu-bound", "deploy", "encrypt", "find-promises", "other-sdks")
HERE += ("schedule", "telemetry")
ELSEWHERE = {  # pages whose programs other tests run
    "tests/examples/test_pages.py": (
        *("cancel", "fan-out", "human-in-the-loop", "retry", "saga", "version"),
        *("README", "replay"),
    ),
    "tests/test_docs.py": ("push", "run-locally", "tutorial"),
    "tests/testing/test_page.py": ("test",),
}


def blocks(page):
    return BLOCK.findall((ROOT / "docs" / "how-to" / f"{page}.md").read_text(encoding="utf-8"))


def test_the_programs_of_every_page_are_run():
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    with_programs = {
        page.stem
        for page in pages
        if BLOCK.search(page.read_text(encoding="utf-8")) and page.parent.name != "reference"
    }
    assert with_programs == {*HERE, *(page for run in ELSEWHERE.values() for page in run)}
    for path, run in ELSEWHERE.items():
        text = (ROOT / path).read_text(encoding="utf-8")
        assert all(page in text for page in run), path
    mine = Path(__file__).read_text(encoding="utf-8")
    assert all(f'blocks("{page}")' in mine for page in HERE)


@pytest.fixture
def url(children, monkeypatch):
    """Return where a server is; programs find it by the environment."""
    found = children.server(durable=False).url
    monkeypatch.setenv("RESONATE_URL", found)
    return found


@pytest.fixture
def worker(url):
    """Return a worker of the group "default"."""
    with Resonate.remote(url) as found:
        found.register(lambda ctx, name: f"hello {name}", name="greet")
        found.register(lambda ctx, year: f"report of {year}", name="report")
        found.register(lambda ctx, number: number**2, name="square")
        found.start()
        yield found


@pytest.fixture
def load(monkeypatch):
    """Return what executes a text as a module, with names that the page takes for granted."""

    def loaded(text, **given):
        module = types.ModuleType("page")
        monkeypatch.setitem(sys.modules, "page", module)
        vars(module).update(given)
        exec(compile(text, "page", "exec"), vars(module))  # noqa: S102  # it is our own
        return module

    return loaded


def spawn(children, folder, name, text, **env):
    path = folder / f"{name}.py"
    path.write_text(text)
    return children.spawn(name, path, **env)


# --- asyncio --------------------------------------------------------------------------------------


@pytest.fixture
def programs():
    """Return the programs of the page on asyncio."""
    found = blocks("asyncio")
    assert len(found) == 6
    return dict(
        zip(("call", "work", "both", "web", "wait", "test"), found, strict=True),
    )


@pytest.mark.usefixtures("worker")
def test_asyncio_call(programs, children, url, tmp_path):
    caller = spawn(children, tmp_path, "call", programs["call"], RESONATE_URL=url)
    assert caller.wait(20) == 0, caller.text
    assert caller.lines == ["hello Ada", "report of 2026"]


def test_asyncio_work(programs, children, url, tmp_path):
    working = spawn(children, tmp_path, "work", programs["work"], RESONATE_URL=url)
    with Resonate.remote(url, group="callers") as caller:
        size = caller.options(target="fetchers").begin_rpc("size-1", "size", url)
        assert size.result(20) > 0
    working.send(signal.SIGTERM)
    assert working.wait(20) == 0, working.text


def test_asyncio_both(programs, worker, load):
    module = load(programs["both"])
    worker.register(module.both)
    assert worker.rpc("both-1", "both") == 25


@pytest.mark.usefixtures("worker")
def test_asyncio_web(programs, children, url, tmp_path):
    text = programs["web"].replace('group="web"', 'group="default"')
    (tmp_path / "web.py").write_text(text)
    port = free_port()
    arguments = ("-m", "uvicorn", "web:app", "--app-dir", tmp_path, "--port", port)
    web = children.spawn("web", *arguments, RESONATE_URL=url)
    web.wait_for("running on")

    def report():
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/reports/2026") as answer:
            return json.load(answer)

    assert report()["id"] == "report-2026"
    until(lambda: report()["done"])
    web.send(signal.SIGTERM)
    assert web.wait(20) in (0, -signal.SIGTERM), web.text


@pytest.mark.usefixtures("worker")
def test_asyncio_wait(programs, url, load):
    module = load(programs["wait"])

    async def main(group):
        async with AsyncResonate.remote(url, group=group) as resonate:
            return await module.wait_a_little(resonate)

    assert asyncio.run(main("default")) == "report of 2026"
    module = load(programs["wait"].replace("timeout(5)", "timeout(0.05)").replace("-7", "-8"))
    assert asyncio.run(main("nobody")) is None


def test_asyncio_test(programs, load):
    load(programs["test"]).test_greeting()


# --- others ---------------------------------------------------------------------------------------


def test_call_safely(load):
    with Resonate.local() as resonate:
        resonate.register(lambda ctx, order_id: f"invoice of {order_id}", name="make_invoice")
        resonate.start()
        named, bounded = blocks("call-safely")
        given = {"anyone": resonate, "order_id": "o-1", "id": "late"}
        assert load(named, **given).handle.result(5) == "invoice of o-1"
        assert load(bounded, **given).handle.result(5) == "invoice of o-1"
        given = {**given, "anyone": resonate.options(target="nobody"), "id": "later"}
        with pytest.raises(ResonateTimedoutError):
            load(bounded.replace("3600", "0.05"), **given).handle.result(5)


def test_cpu_bound(children, url, tmp_path):
    tasks, working = blocks("cpu-bound")
    (tmp_path / "tasks.py").write_text(tasks)
    process = spawn(children, tmp_path, "worker", working, RESONATE_URL=url)
    with Resonate.remote(url, group="callers") as caller:
        there = caller.options(target="default")
        assert there.begin_rpc("factor-1", "factor", 84).result(20) == [2, 2, 3, 7]
        assert there.begin_rpc("report-1", "report", [6, 35]).result(20) == [[2, 3], [5, 7]]
    process.send(signal.SIGTERM)
    assert process.wait(20) == 0, process.text


def test_deploy(children, url, tmp_path):
    (last,) = blocks("deploy")
    text = f"from resonate import Resonate\n\nresonate = Resonate()\nprint('made')\n{last}"
    working = spawn(children, tmp_path, "deploy", text, RESONATE_URL=url)
    working.wait_for("made")
    working.send(signal.SIGTERM)
    assert working.wait(20) == 0, working.text


def test_encrypt(url, load, monkeypatch):
    shape, client, chained = blocks("encrypt")
    assert {"encode", "decode"} <= set(vars(load(shape).Encryption))
    monkeypatch.syspath_prepend(ROOT / "examples" / "encryption")
    monkeypatch.setenv("KEY_2026_07", base64.b64encode(os.urandom(32)).decode())
    module = load(client)
    encoder = load(chained, keys=module.keys, Encryption=module.Encryption).encoder
    secret = b"secret " * 500
    assert encoder.decode(encoder.encode(secret)) == secret
    assert len(encoder.encode(secret)) < len(secret)
    assert b"secret" not in encoder.encode(secret)
    module.resonate.register(lambda ctx, text: text.upper(), name="shout")
    with module.resonate as resonate, Resonate.remote(url) as stranger:
        resonate.start()
        assert resonate.rpc("secret-1", "shout", "quiet") == "QUIET"
        promise = stranger.promises.get("secret-1")
        assert b"QUIET" not in base64.b64decode(promise.value.encoded)


def test_find_promises(worker, load, capsys):
    worker.promises.create("gone", 2**50)
    worker.promises.reject("gone", data='"why"')
    (program,) = blocks("find-promises")
    load(program).resonate.stop(0)
    assert capsys.readouterr().out == 'gone "why"\n'


def test_other_sdks(load):
    with Resonate.local(group="their-group") as resonate:
        resonate.register(lambda ctx, one, other: one + other, name="add")
        resonate.start()
        (program,) = blocks("other-sdks")
        assert load(program, resonate=resonate).handle.result(5) == 5


def test_schedule(url, load, capsys):
    create, delete, runs, every = blocks("schedule")
    module = load(create)
    with module.resonate as resonate:
        (made,) = resonate.schedules.search_all()
        assert (made.id, made.cron) == ("nightly", "30 4 * * *")
        load(delete, resonate=resonate)
        assert not list(resonate.schedules.search_all())
        resonate.register(lambda ctx, kind, number: f"{kind} {number}", name="compute_something")
        resonate.schedule("nightly", "compute_something", "* * * * * *", "nightly", 3)
        resonate.start()
        tags = {"resonate:schedule": "nightly"}
        done = {"state": "resolved", "tags": tags}
        until(lambda: list(resonate.promises.search_all(**done)))
        load(every, resonate=resonate)
        assert capsys.readouterr().out.startswith("nightly * * * * * * ")
        assert not list(resonate.schedules.search_all())
        load(runs, resonate=resonate)
        assert re.search(
            r'^nightly\.\d+ resolved "nightly 3"$', capsys.readouterr().out, re.MULTILINE
        )


def test_telemetry(children, tmp_path):
    (program,) = blocks("telemetry")
    traced = spawn(children, tmp_path, "traced", program)
    assert traced.wait(20) == 0, traced.text
    assert "hello ada" in traced.lines
    assert '"name": "run greet"' in traced.text
    assert '"name": "execute greet"' in traced.text
