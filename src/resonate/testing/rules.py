"""Rules of a test: which functions fail, and which are replaced.

A rule counts the attempts of functions of its name, each once: what is done again after a crash is
the same attempt, and ends the same way.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

from resonate.sdk.registry import Registered, Registry

Func = Callable[..., Any]


class Rule:
    """What is called in place of a function, from the attempt after ``after`` on, ``times`` often.

    ``times`` None means from then on for ever. ``told`` is how the test made it; None: it need not
    apply.
    """

    def __init__(
        self,
        name: str,
        act: Func,
        after: int = 0,
        times: int | None = None,
        told: str | None = None,
    ) -> None:
        self.name = name
        self.act = act
        self.told = told
        self.used = False
        self._after = after
        self._times = times
        self._attempts: dict[tuple[str, int], int] = {}

    def applies(self, id: str, attempt: int) -> bool:
        """Tell whether it is for this attempt; counts it."""
        number = self._attempts.setdefault((id, attempt), len(self._attempts))
        until = None if self._times is None else self._after + self._times
        applies = number >= self._after and (until is None or number < until)
        self.used = self.used or applies
        return applies

    @property
    def attempts(self) -> int:
        """Return how many attempts there were so far, of functions of its name."""
        return len(self._attempts)


class Rules(Registry):
    """A registry with the rules of a test; what it does not know itself, ``base`` may."""

    def __init__(self, base: Registry | None = None) -> None:
        super().__init__()
        self._base = base or Registry()
        self._rules: list[Rule] = []
        self._stubs: dict[str, Func] = {}
        self._seen: dict[str, None] = {}
        self._rules_lock = threading.Lock()

    def find(self, name: str, version: int = 0) -> Registered | None:
        """Return the function of that name and version; a stub may stand for one."""
        found = super().find(name, version) or self._base.find(name, version)
        if found is None and name in self._stubs:
            return Registered(name, version or 1, self._stubs[name])
        return found

    def keys(self) -> None:
        """Tell nothing: a stub may stand for any version, and may be made at any time."""

    def of(self, func: Func) -> Registered | None:
        """Return the entry of a function object."""
        return super().of(func) or self._base.of(func)

    def fail(self, name: str, error: BaseException | type[BaseException], **when: Any) -> None:
        """Have functions of that name raise."""

        def failing(_ctx: Any, *_args: Any, **_kwargs: Any) -> Any:
            raise error.with_traceback(None) if isinstance(error, BaseException) else error

        self._add(Rule(name, failing, **when))

    def stub(self, name: str, act: Func, told: str | None = None) -> None:
        """Have ``act`` called in place of functions of that name."""
        self._add(Rule(name, act, told=told))

        def nothing(_ctx: Any, *_args: Any, **_kwargs: Any) -> None:
            raise AssertionError("a stub stands for it")

        nothing.__name__ = name
        self._stubs[name] = nothing

    def function(self, func: Func, id: str, attempt: int) -> Func:
        """Return what is called in an attempt of ``func``: the rule that was made last decides."""
        with self._rules_lock:
            names = self._called(func)
            self._seen[self._shown(func)] = None
            found = [each for each in self._rules if each.name in names]
            meant = [each for each in found if each.applies(id, attempt)]
        if not meant:
            return func
        act = meant[-1].act

        @functools.wraps(func)
        def replaced(ctx: Any, *args: Any, **kwargs: Any) -> Any:
            return act(ctx, *args, **kwargs)

        return replaced

    def unused(self) -> list[str]:
        """Say of each rule that had to apply and never did what there was instead."""
        with self._rules_lock:
            unused = [each for each in self._rules if each.told is not None and not each.used]
            return [f"{each.told} never applied: {self._instead(each)}" for each in unused]

    def names(self) -> list[str]:
        """Return the names of the functions that are registered."""
        bases: tuple[Registry, ...] = (self._base, self)
        return list(dict.fromkeys(name for each in bases for name in list(each._names)))  # noqa: SLF001  # of one package

    def _instead(self, rule: Rule) -> str:
        if rule.attempts:
            return f"attempts of {rule.name}: {rule.attempts}"
        seen = ", ".join(self._seen) or "none"
        return f"functions called: {seen}; registered: {', '.join(self.names()) or 'none'}"

    def _shown(self, func: Func) -> str:
        entry = self.of(func)
        return entry.name if entry is not None else getattr(func, "__name__", repr(func))

    def _add(self, rule: Rule) -> None:
        with self._rules_lock:
            self._rules.append(rule)

    def _called(self, func: Func) -> set[str]:
        entry = self.of(func)
        given = {getattr(func, "__name__", ""), getattr(func, "__qualname__", "")}
        return given if entry is None else given | {entry.name}
