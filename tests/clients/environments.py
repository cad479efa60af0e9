"""The official SDKs, unmodified from their registries, each in an environment of its own.

Of their own because their import name, ``resonate``, is also ours. The environments lie in
``.clients`` at the root of the checkout, or in the directory named by ``RESONATE_CLIENTS``. One is
installed when it is first used and then kept; it is installed again when what is pinned changes. Its
stamp is written last, so an installation that broke off is tried again.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
PYTHON = HERE / "python"
TYPESCRIPT = HERE / "typescript"
ROOT = Path(os.environ.get("RESONATE_CLIENTS") or HERE.parent.parent / ".clients").resolve()
INSTALL_SECONDS = 100
NEWER = "import sys, ensurepip; sys.exit(sys.version_info < (3, 12))"  # what their packages ask for


class Unavailable(Exception):
    """An SDK cannot be installed here; the text says why."""


@dataclass(frozen=True)
class Environment:
    """One installed SDK: how its programs are run."""

    name: str
    interpreter: list[str]
    suffix: str
    programs: Path
    modules: Path | None  # what has to lie beside the programs

    def laid_out(self, folder: Path) -> Path:
        """Return where the programs can be run: modules are looked for beside them."""
        if self.modules is None:
            return self.programs
        copied = folder / self.programs.name
        if not copied.exists():
            shutil.copytree(self.programs, copied)
            (copied / "node_modules").symlink_to(self.modules)
        return copied


def prepare(name: str) -> Environment:
    """Return an environment, installed if need be; raises Unavailable."""
    ROOT.mkdir(parents=True, exist_ok=True)
    with (ROOT / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kind, _, version = name.partition("-")
        return _python(name, version) if kind == "python" else _typescript(name)


def _python(name: str, version: str) -> Environment:
    requirements = PYTHON / f"requirements-{version}.txt"
    folder = ROOT / name
    python = folder / "bin" / "python"
    if not (python.exists() and _stamped(folder, requirements)):
        _run(_newer_python(), "-m", "venv", "--clear", folder)
        quickly = ["--quiet", "--disable-pip-version-check", "--retries", "1", "--timeout", "15"]
        _run(python, "-m", "pip", "install", *quickly, "-r", requirements)
        _stamp(folder, requirements)
    # -E: neither PYTHONPATH nor another of our variables may lead it to our package
    return Environment(name, [str(python), "-E", "-u"], ".py", PYTHON, None)


def _newer_python() -> str:
    for found in _pythons():
        try:
            _run(found, "-c", NEWER)
        except Unavailable:  # too old, or a shim that leads nowhere
            continue
        return found
    raise Unavailable("there is no Python 3.12 or newer on PATH or in ~/.pyenv")


def _pythons() -> Iterator[str]:
    yield sys.executable
    names = ("python3.12", "python3.13", "python3.14")
    yield from filter(None, map(shutil.which, names))
    versions = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    for each in names:
        yield from map(str, sorted(versions.glob(f"*/bin/{each}")))


def _typescript(name: str) -> Environment:
    """Install the SDK, and with it the Node.js it wants: the machine's may be older."""
    pinned = (TYPESCRIPT / "package.json", TYPESCRIPT / "package-lock.json")
    folder = ROOT / name
    node = folder / "node_modules" / ".bin" / "node"
    if not (node.exists() and _stamped(folder, *pinned)):
        npm = shutil.which("npm")
        if npm is None:
            raise Unavailable("there is no npm on PATH")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for each in pinned:
            shutil.copy(each, folder)
        quickly = ["--fetch-retries=1", "--fetch-timeout=30000", "--loglevel=error"]
        _run(npm, "ci", "--no-audit", "--no-fund", *quickly, cwd=folder)
        _run(node, "--version")
        _stamp(folder, *pinned)
    return Environment(name, [str(node)], ".mjs", TYPESCRIPT, folder / "node_modules")


def _run(*command: object, cwd: Path | None = None) -> None:
    line = [str(each) for each in command]
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    try:
        done = subprocess.run(
            line,
            check=False,
            cwd=cwd,
            env=clean,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(str(error)) from error
    if done.returncode:
        said = [
            each for each in done.stderr.splitlines() if each.startswith(("ERROR", "npm error"))
        ]
        why = said[0] if said else f"status {done.returncode}"
        raise Unavailable(f"{Path(line[0]).name} {' '.join(line[1:4])}: {why}")


def _wanted(folder: Path, pinned: tuple[Path, ...]) -> str:
    """Return what the stamp must say. An environment that was moved is another one."""
    digest = hashlib.sha256(str(folder).encode())
    for each in pinned:
        digest.update(each.read_bytes())
    return digest.hexdigest()


def _stamped(folder: Path, *pinned: Path) -> bool:
    stamp = folder / "clients.stamp"
    return stamp.is_file() and stamp.read_text() == _wanted(folder, pinned)


def _stamp(folder: Path, *pinned: Path) -> None:
    (folder / "clients.stamp").write_text(_wanted(folder, pinned))
