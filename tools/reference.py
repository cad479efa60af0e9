"""Write the tables of docs/reference/sdk.md from the docstrings: ``python tools/reference.py``.

The page is written by hand, but for what stands between two comments:

    <!-- members: Context -->       the public members of a class, with their docstrings
    <!-- list: Operation.options -->  the list in a docstring: what a member takes, or a class has
    <!-- errors -->                 every error, what it means and what to do
    <!-- end -->

With ``--check`` nothing is written, and the exit status is 1 when the page is not up to date. A
public member without a docstring is an error.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import resonate
from resonate import encoders, errors, retry_policies
from resonate.sdk import context, promises, replayed, schedules, subclients

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "sdk.md"
BLOCK = re.compile(
    r"^<!-- (members|list|errors)(?:: ([\w.]+))? -->\n(.*?)^<!-- end -->$", re.MULTILINE | re.DOTALL
)
CLASSES: dict[str, type] = {
    cls.__name__: cls
    for cls in (
        *(getattr(resonate, name) for name in resonate.__all__),
        *(context.Info, replayed.Random, replayed.Time),
        *(promises.Promises, promises.PromisePage, promises.DurablePromise),
        *(promises.PromiseFilters, schedules.ScheduleFilters),
        *(schedules.Schedules, schedules.SchedulePage, schedules.Schedule),
        subclients.StoredValue,
        *(getattr(encoders, name) for name in encoders.__all__),
        *(getattr(retry_policies, name) for name in retry_policies.__all__),
    )
}
INTERNAL = {"Operation.value", "Operation.plan", "Operation.yielded"}
INTERNAL |= {"Promise.value", "Promise.yielded"}  # what the parts of the SDK ask each other


def main(arguments: list[str]) -> int:
    """Write the page, or check it; return the exit status."""
    before = PAGE.read_text(encoding="utf-8")
    after = written(before)
    if after == before:
        return 0
    if "--check" in arguments:
        print(f"{PAGE} is not up to date: python tools/reference.py", file=sys.stderr)
        return 1
    PAGE.write_text(after, encoding="utf-8")
    return 0


def written(page: str) -> str:
    """Return the page with its tables made anew."""
    return BLOCK.sub(_block, page)


def _block(found: re.Match[str]) -> str:
    what, name, _ = found.groups()
    rows: list[tuple[str, ...]]
    if what == "errors":
        rows = [("Error", "Means", "What to do"), *_errors()]
    elif what == "members":
        rows = [("Member", "Is, or does"), *_members(CLASSES[name])]
    else:
        rows = [("Name", "Means"), *_list(name)]
    first = found.group().partition("\n")[0]
    return "\n".join([first, *_table(rows), "<!-- end -->"])


def _table(rows: list[tuple[str, ...]]) -> Iterator[str]:
    for number, row in enumerate(rows):
        yield f"| {' | '.join(each.replace('|', chr(92) + '|') for each in row)} |"
        if number == 0:
            yield "|" + "---|" * len(row)


# --- what is in the tables ------------------------------------------------------------------------


def public(cls: type) -> dict[str, Any]:
    """Return the public members of a class, in the order in which they are defined."""
    found: dict[str, Any] = {}
    for each in reversed(cls.__mro__[:-1]):
        if each.__module__.startswith("resonate"):
            found |= {name: member for name, member in vars(each).items() if name[0] != "_"}
    fields = {name for each in cls.__mro__ for name in inspect.get_annotations(each)}
    return {
        name: member
        for name, member in found.items()
        if name not in fields and f"{cls.__name__}.{name}" not in INTERNAL
    }


def docstring(member: Any, name: str) -> str:
    """Return the docstring; raises ValueError when there is none."""
    text = inspect.getdoc(member)
    if not text:
        raise ValueError(f"{name} has no docstring")
    return text


def _members(cls: type) -> Iterator[tuple[str, str]]:
    known: dict[int, list[str]] = {}
    members = public(cls)
    for name, member in members.items():
        known.setdefault(id(member), []).append(name)
    for names in known.values():
        member = members[names[0]]
        text = _prose(docstring(member, f"{cls.__name__}.{names[0]}"))
        others = "".join(f", `{each}`" for each in names[1:])
        yield f"`{_shown(names[0], member)}`{others}", text


def _shown(name: str, member: Any) -> str:
    if isinstance(member, property):
        return name
    bound = isinstance(member, classmethod)
    signature = inspect.signature(member.__func__ if bound else member)
    parameters = [
        each.replace(annotation=inspect.Parameter.empty)
        for each in list(signature.parameters.values())[1:]
    ]
    bare = signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty)
    return f"{name}{bare}"


def _prose(docs: str) -> str:
    """Return a docstring as one paragraph, without the list in it."""
    return _plain(re.sub(r"^- .*\n?(?:  .*\n?)*", "", docs, flags=re.MULTILINE))


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", text.replace("``", "`")).strip()


def _list(name: str) -> Iterator[tuple[str, str]]:
    cls, _, member = name.partition(".")
    docs = docstring(getattr(CLASSES[cls], member) if member else CLASSES[cls], name)
    for names, text in re.findall(r"^- (.*?): (.*(?:\n  .*)*)", docs, flags=re.MULTILINE):
        yield _plain(names), _plain(text)


def _errors() -> Iterator[tuple[str, str, str]]:
    for name in errors.__all__:
        cls = getattr(errors, name)
        if isinstance(cls, type) and cls is not errors.ResonateError:
            means, _, todo = _plain(docstring(cls, name)).partition("What to do: ")
            yield f"`{name}`", means.strip(), todo[:1].upper() + todo[1:]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
