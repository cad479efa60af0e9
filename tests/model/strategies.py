"""Sequences for Hypothesis: a walk whose chance is Hypothesis's, so that it can be shrunk."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.model.sequences import Step, Walk


@st.composite
def sequences(draw: Any, count: int, *, strict: bool, lazy: bool = True) -> list[Step]:
    chooser = draw(st.randoms(use_true_random=False))
    return Walk(chooser, strict=strict, lazy=lazy).steps(count)
