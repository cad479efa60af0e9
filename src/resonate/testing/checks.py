"""Checks of what tests give to a harness."""

from __future__ import annotations

from collections.abc import Iterable

from resonate.sdk.checks import check_filled, check_text


def checked_write(write: int | str) -> int | str:
    """Return the label or number of a write; raises TypeError, ValueError."""
    if isinstance(write, bool) or not isinstance(write, int | str):
        raise TypeError(f"write must be `int | str`, got {type(write).__name__}")
    if isinstance(write, int) and write < 1:
        raise ValueError("write must be greater than zero: writes count from 1")
    if isinstance(write, str):
        check_filled("write", write)
    return write


def checked_groups(groups: Iterable[str]) -> list[str]:
    """Return the names of groups; raises TypeError, ValueError."""
    if isinstance(groups, str) or not isinstance(groups, Iterable):
        raise TypeError(f"groups must be `Iterable[str]`, got {type(groups).__name__}")
    found = list(groups)
    for each in found:
        check_text("groups", each)
    return found


def check_error(error: object) -> None:
    """Raise TypeError unless that can be raised as it is."""
    if isinstance(error, BaseException):
        return
    if not (isinstance(error, type) and issubclass(error, BaseException)):
        wanted = "`BaseException | type[BaseException] | None`"
        raise TypeError(f"error must be {wanted}, got {_shown(error)}")
    try:
        error()
    except TypeError as refused:
        text = f"error must be one that can be raised, and {error.__name__} takes arguments"
        raise TypeError(f"{text}: {refused}") from refused


def _shown(value: object) -> str:
    return value.__name__ if isinstance(value, type) else type(value).__name__
