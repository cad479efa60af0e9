"""The Python in the pages runs, and prints what its comments say: ``print(…)  # text``.

All blocks of a page are one program, without a server.
"""

from __future__ import annotations

import asyncio
import re
import sys
import types
from pathlib import Path

import pytest

from resonate import Resonate
from resonate.retry_policies import Constant
from tests.processes.children import until
from tools import reference

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = [
    *(
        f"how-to/{name}"
        for name in ("retry", "cancel", "human-in-the-loop", "fan-out", "saga", "version")
    ),
    "explanation/replay",
]


def program(page):
    return "\n".join(BLOCK.findall((ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")))


@pytest.mark.parametrize("page", PAGES)
def test_python_in_a_page_prints_what_it_says(page, monkeypatch, capsys):
    monkeypatch.delenv("RESONATE_URL", raising=False)
    module = types.ModuleType(page.replace("/", "_"))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    text = program(page)
    try:
        exec(compile(text, page, "exec"), vars(module))  # noqa: S102  # it is our own
    finally:
        module.resonate.stop(0)
    expected = re.findall(r"^\s*print\(.*\)  # (.*)$", text, re.MULTILINE)
    assert capsys.readouterr().out.splitlines() == expected
    assert expected


@pytest.mark.slow
def test_the_three_programs_of_the_readme_run(children, tmp_path):
    names = ("worker", "caller", "approve")
    blocks = BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    for name, text in zip(names, blocks, strict=True):
        (tmp_path / f"{name}.py").write_text(text.replace("sleep(5)", "sleep(0.1)"))
    url = children.server(durable=False).url
    asked, working = (
        children.spawn(name, tmp_path / f"{name}.py", RESONATE_URL=url)
        for name in ("caller", "worker")
    )
    anybody = Resonate.remote(url, group="people")
    try:
        until(lambda: list(anybody.promises.search_all(id_prefix="order-4711.2")))
    finally:
        anybody.stop(0)
    approving = children.spawn("approve", tmp_path / "approve.py", RESONATE_URL=url)
    assert approving.wait(20) == 0, approving.text
    assert asked.wait(20) == 0, asked.text
    assert asked.text == "receipt of Ada"
    assert working.text == "shipping to Ada"


# ---------------------------------------------------------------------- reference of the SDK


def test_reference_of_the_sdk_is_what_the_docstrings_say():
    page = reference.PAGE.read_text(encoding="utf-8")
    assert page == reference.written(page), "python tools/reference.py"


def test_every_class_is_in_the_reference_with_its_members():
    page = reference.PAGE.read_text(encoding="utf-8")
    for name, cls in reference.CLASSES.items():
        assert f"`{name}`" in page or f"# {name}\n" in page or f"`{name}(" in page, name
        for member, value in reference.public(cls).items():
            assert reference.docstring(value, f"{name}.{member}")
            assert f"`{member}" in page, f"{name}.{member}"


def test_a_member_without_docstring_is_noticed():
    class Bare:
        def method(self):
            pass

    Bare.__module__ = "resonate.of_this_test"
    with pytest.raises(ValueError, match=r"Bare\.method has no docstring"):
        list(reference._members(Bare))


def test_a_page_that_is_not_up_to_date_is_noticed():
    page = "<!-- members: Promise -->\n| `gone()` | |\n<!-- end -->\n"
    made = reference.written(page)
    assert "gone" not in made
    assert "| `done()` | Tell whether" in made
    assert reference.written(made) == made


@pytest.fixture
def everything():
    """The promises of a function that does everything once, and fails once, by their ids."""
    resonate = Resonate.local()

    def fails_once(ctx):
        if "~" not in ctx.id:
            raise OSError("the first time")

    async def in_a_task(ctx):
        await ctx.sleep(0.01)

    async def whole(ctx):
        await asyncio.gather(in_a_task(ctx), in_a_task(ctx))
        await ctx.run(fails_once)
        await ctx.rpc("inner").options(retry_policy=Constant(1))
        await ctx.detached("inner").options(version=2)
        return await (await ctx.promise(id="named"))

    resonate.register(whole, retry_policy=Constant(0.01))
    for version in (1, 2):
        resonate.register(lambda ctx: None, name="inner", version=version)
    try:
        handle = resonate.begin_run("all", whole)
        until(lambda: "named" in {each.id for each in resonate.promises.search_all()})
        resonate.promises.resolve("named")
        handle.result(10)
        yield {each.id: each for each in resonate.promises.search_all()}
    finally:
        resonate.stop(0)


def test_every_tag_that_the_sdk_writes_is_in_the_reference_and_no_other(everything):
    written = {tag for promise in everything.values() for tag in promise.tags}
    tags = reference.PAGE.read_text(encoding="utf-8").split("\n## Tags\n")[1]
    assert set(re.findall(r"^\| `(resonate:\w+)`", tags, re.MULTILINE)) == written


def test_ids_are_those_of_the_reference(everything):
    ids = {id for id in everything if ".wake." not in id}
    assert ids == {
        "all",
        *("all.1.1", "all.2.1"),  # of two asyncio tasks, which have taken 1 and 2
        *("all.3", "all.retry.1", "all.3~2"),  # failed, so the whole was tried again
        *("all.4", "all.5"),
        "named",  # in place of all.6
    }
