"""The bugs that ``tools/mutants.py`` plants: that there still is a place for each of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.mutants import MUTANTS

SOURCE = Path(__file__).resolve().parents[1] / "src" / "resonate"


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.what)
def test_the_place_of_a_planted_bug_is_there_once(mutant):
    text = (SOURCE / mutant.file).read_text(encoding="utf-8")
    assert text.count(mutant.old) == 1
