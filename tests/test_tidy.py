"""What the design says about imports and files, held by reading the source.

``ARROWS`` is the table of the layers (``a`` may import what its entry names). A new package or
top-level module has to be entered here, so that a new arrow is decided and not just drawn.
The rules are functions on one module's text; the tests at the end show that each one bites.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "resonate"
MODULES = sorted(PACKAGE.rglob("*.py"))

SERVER = {"core", "store", "engine", "gateway", "console"}

# Every layer may import itself; "resonate" is the package's own __init__.py.
ARROWS = {
    "protocol": set(),
    "core": {"protocol"},
    "store": {"protocol", "core"},
    "engine": {"protocol", "core", "store"},
    "gateway": {"protocol", "core", "store", "engine"},
    "console": {"protocol", "core", "store", "engine", "gateway"},
    "cli": {"resonate", "protocol", *SERVER, "sdk", "local", "testing"},
    "sdk": {"protocol"},
    "local": {"protocol", "core", "store", "engine", "sdk"},
    "testing": {"resonate", "protocol", "sdk", "local"},
    "resonate": {"protocol", "sdk", "local", "testing"},
    "encoders": {"sdk"},
    "errors": {"sdk"},
    "registry": {"sdk"},
    "retry_policies": {"sdk"},
    "telemetry": {"sdk"},
    "__main__": {"cli"},
}

# The one arrow against the order: Resonate.local() fetches local mode when it is called.
LAZY = {("sdk/base.py", "local")}

# The one module in which both sides meet.
JOINT = "local.py"

PURE = {"protocol", "core"}
IMPURE = {
    # time, chance, the machine
    *("time", "datetime", "random", "secrets", "uuid", "os", "platform", "sys", "getpass"),
    # files, processes, networks
    *("io", "pathlib", "shutil", "tempfile", "subprocess", "signal", "socket", "select"),
    *("selectors", "ssl", "http", "aiohttp", "httptools", "starlette", "uvicorn", "uvloop"),
    # concurrency
    *("asyncio", "threading", "multiprocessing", "concurrent", "queue", "contextvars", "anyio"),
    # what is said on the side
    *("logging", "warnings"),
    # databases
    *("sqlite3", "apsw", "asyncpg", "psycopg", "psycopg2"),
}

# Paths of the machine somebody happened to work on.
PRIVATE_PATH = re.compile(r"(?<![\w.*}@-])/(?:work|root)/")
TEXT = {".py", ".sql", ".md", ".toml", ".html", ".css", ".js", ".json", ".yml", ".yaml", ".sh", ""}
FOLDERS = ("src", "tests", "tools", "benchmarks", "simulation", "examples", "docs", ".ci")


# ----------------------------------------------------------------------------- reading a module


def layer_of(name: str) -> str:
    """Return the layer of a file, named relative to the package."""
    first = name.partition("/")[0]
    return "resonate" if first == "__init__.py" else first.removesuffix(".py")


def imports(tree: ast.AST) -> Iterator[tuple[str, bool]]:
    """Yield each absolute name a module imports, and whether that is inside a function."""

    def walk(node: ast.AST, inside: bool) -> Iterator[tuple[str, bool]]:
        match node:
            case ast.Import(names=names):
                yield from ((alias.name, inside) for alias in names)
            case ast.ImportFrom(module=str(module), names=names, level=0):
                yield from ((f"{module}.{alias.name}", inside) for alias in names)
            case ast.Call(
                func=ast.Name(id="import_module" | "__import__")
                | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(module)), *_],
            ):
                yield module, inside
        inside = inside or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            yield from walk(child, inside)

    return walk(tree, inside=False)


def target(name: str) -> str | None:
    """Return the layer that an imported name of ours belongs to, or None if it is not ours."""
    parts = name.split(".")
    if parts[0] != "resonate":
        return None
    return parts[1] if len(parts) > 1 and parts[1] in ARROWS else "resonate"


# ---------------------------------------------------------------------------------- the rules


def arrow_faults(name: str, tree: ast.Module) -> Iterator[str]:
    layer = layer_of(name)
    if layer not in ARROWS:
        yield f"{layer!r} is not in ARROWS: say there what it may import"
        return
    reached = set()
    for imported, inside in imports(tree):
        to = target(imported)
        if to is None:
            continue
        reached.add(to)
        if (name, to) in LAZY:
            if not inside:
                yield f"{imported} may only be imported inside a function"
        elif to != layer and to not in ARROWS[layer]:
            yield f"{layer} must not import {imported}"
    if name != JOINT and "sdk" in reached | {layer} and SERVER & (reached | {layer}):
        yield f"only {JOINT} may import both the SDK and the server"


def purity_faults(name: str, tree: ast.Module) -> Iterator[str]:
    if layer_of(name) in PURE:
        for imported, _ in imports(tree):
            if imported.split(".")[0] in IMPURE:
                yield f"{layer_of(name)} is pure and must not import {imported}"


def form_faults(_name: str, tree: ast.Module) -> Iterator[str]:
    if not ast.get_docstring(tree):
        yield "no docstring says what the module is for"
    if "__future__.annotations" not in {imported for imported, _ in imports(tree)}:
        yield "from __future__ import annotations is missing"
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and node.type is None:
            yield f"line {node.lineno}: a bare except also catches the order to stop"
        if isinstance(node, ast.ImportFrom) and node.level:
            yield f"line {node.lineno}: imports are absolute"


RULES = [arrow_faults, purity_faults, form_faults]


def faults(name: str, text: str) -> list[str]:
    """Return what is wrong with a module, named relative to the package."""
    tree = ast.parse(text)
    return [fault for rule in RULES for fault in rule(name, tree)]


def private_paths(text: str) -> list[str]:
    return [line for line in text.splitlines() if PRIVATE_PATH.search(line)]


def texts() -> Iterator[Path]:
    """Yield the files a person wrote."""
    found = list(ROOT.glob("*"))
    for folder in FOLDERS:
        found += (ROOT / folder).rglob("*")
    for path in found:
        parts = path.relative_to(ROOT).parts
        hidden = any(part.startswith(".") for part in parts if part != ".ci")
        if path.is_file() and path.suffix in TEXT and not hidden:
            yield path


# ---------------------------------------------------------------------------- the rules, held


def test_there_is_something_to_read():
    assert PACKAGE / "__init__.py" in MODULES
    assert Path(__file__).resolve() in set(texts())


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_module_keeps_the_rules(path):
    assert faults(path.relative_to(PACKAGE).as_posix(), path.read_text(encoding="utf-8")) == []


def test_no_file_names_a_path_of_one_machine():
    found = {
        path.relative_to(ROOT).as_posix(): lines
        for path in texts()
        if (lines := private_paths(path.read_text(encoding="utf-8")))
    }
    assert found == {}


def test_task_runner_can_be_read_by_pythons_it_refuses():
    ast.parse((ROOT / "dev.py").read_text(encoding="utf-8"), feature_version=(3, 7))


# ------------------------------------------------------------------------ the rules, shown to bite

GOOD = '"""Say why."""\nfrom __future__ import annotations\n'


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("protocol/a.py", "import msgspec"),
        ("core/a.py", "from resonate.protocol import records"),
        ("core/a.py", "from resonate import protocol"),
        ("store/sqlite/a.py", "import apsw, resonate.core.objects"),
        ("console/a.py", "from resonate.gateway.routes import error"),
        ("cli/a.py", "from resonate import Resonate"),
        ("cli/a.py", "from resonate.engine import clock"),
        ("sdk/base.py", "def f():\n    from resonate.local import start"),
        ("local.py", "from resonate.sdk import worker\nfrom resonate.engine import engine"),
        ("__init__.py", "from resonate.sdk.resonate import Resonate"),
        ("__main__.py", "from resonate.cli.main import main"),
        ("sdk/a.py", "import time, asyncio"),
        ("sdk/a.py", "try: pass\nexcept OSError: pass"),
    ],
)
def test_allowed(name, line):
    assert faults(name, f"{GOOD}{line}\n") == []


@pytest.mark.parametrize(
    ("name", "line", "fault"),
    [
        ("protocol/a.py", "from resonate.core import objects", "must not import"),
        ("core/a.py", "import resonate.store.memory", "must not import"),
        ("core/a.py", "def f():\n    from resonate.store import memory", "must not import"),
        ("store/a.py", "import_module('resonate.engine.engine')", "must not import"),
        ("engine/a.py", "from resonate import gateway", "must not import"),
        ("gateway/a.py", "from resonate.console import pages", "must not import"),
        ("gateway/a.py", "from resonate import Resonate", "must not import"),
        ("sdk/a.py", "from resonate.core import objects", "must not import"),
        ("sdk/a.py", "def f():\n    from resonate.local import start", "must not import"),
        ("sdk/base.py", "from resonate.local import start", "inside a function"),
        ("sdk/base.py", "def f():\n    import resonate.engine", "must not import"),
        ("__init__.py", "from resonate.engine import engine", "must not import"),
        ("testing.py", "from resonate.store import memory", "must not import"),
        ("cli/a.py", "import resonate.sdk\nimport resonate.engine", "only local.py"),
        ("extra.py", "", "not in ARROWS"),
        ("core/a.py", "import time", "pure"),
        ("protocol/a.py", "from os.path import join", "pure"),
        ("core/a.py", "def f():\n    import concurrent.futures", "pure"),
        ("sdk/a.py", "from . import b", "absolute"),
        ("sdk/a.py", "try: pass\nexcept: pass", "bare except"),
    ],
)
def test_refused(name, line, fault):
    assert any(fault in each for each in faults(name, f"{GOOD}{line}\n"))


def test_module_needs_its_two_opening_lines():
    assert faults("core/a.py", "x = 1\n") == [
        "no docstring says what the module is for",
        "from __future__ import annotations is missing",
    ]


@pytest.mark.parametrize("folder", ["work", "root"])
def test_private_paths_are_seen_where_they_are_paths(folder):
    assert private_paths(f"open('/{folder}/x')\n") != []
    assert private_paths(f"https://example.org/{folder}/x and ./{folder}/x and {folder}/x\n") == []
