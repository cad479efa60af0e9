"""The examples of docs/how-to/test.md, run as they stand there."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import resonate.testing
from resonate.testing import Harness

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "test.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def names():
    return re.findall(r"^def (test_\w+)", "".join(BLOCKS), re.MULTILINE)


@pytest.fixture(scope="module")
def module():
    found = {}
    exec(compile("\n".join(BLOCKS), str(PAGE), "exec"), found)  # noqa: S102  # a page of ours
    return found


@pytest.mark.parametrize("name", names())
def test_examples_run(module, name):
    module[name]()


def test_every_block_is_tried():
    assert len(names()) == 7
    assert all("def test_" in block for block in BLOCKS[1:])


def test_every_public_name_has_its_place_on_the_page_or_in_a_docstring():
    text = PAGE.read_text("utf-8")
    for name in resonate.testing.__all__:
        assert inspect.getdoc(getattr(resonate.testing, name)), name
    methods = {name for name in vars(Harness) if not name.startswith("_")}
    for name in methods - {"caller", "worker", "calm", "kills"}:
        assert f"harness.{name}" in text or f"`{name}`" in text, name
