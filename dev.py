"""The task runner: ``python3 dev.py`` lists what it does.

Standard library only, so that a checkout and Python 3.11 are all it takes. Its syntax is older
than that, and the usual ``from __future__ import annotations`` is missing, because an interpreter
that is too old must still be able to read this file to say so.

The environment is ``.venv``, or the directory named by ``RESONATE_VENV`` (to keep one for each
Python version). It is installed again only when a stamp in it differs from what is wanted. The
stamp is written last, so an installation that broke off is tried again.
"""

import hashlib
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

if sys.version_info < (3, 11):
    sys.exit(
        f"dev.py needs Python 3.11 or newer, and this is {sys.version.split()[0]}"
        f" ({sys.executable}).\nRun it with a newer one, for example: python3.11 dev.py"
    )

ROOT = Path(__file__).resolve().parent
VENV = Path(os.environ.get("RESONATE_VENV") or ".venv")  # everything below runs with cwd = ROOT
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / "dev.stamp"
VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"

# The layers whose every branch is tested, and the tests that must do so by themselves.
COVERED_SOURCES = "src/resonate/protocol/*,src/resonate/core/*"
COVERED_TESTS = ["tests/protocol", "tests/core"]
COVERAGE_PERCENT_MIN = 100
SIMULATED_SECONDS = 60

NO_ENSUREPIP = f"""
This Python cannot make virtual environments: its ensurepip module is missing.
On Debian and Ubuntu:  sudo apt install python3-venv   (or python{VERSION}-venv)
Elsewhere: use a Python from python.org, or install uv, which dev.py takes if it finds it."""

NOT_INSTALLED = """
The packages could not be installed; the reason is above.
If it speaks of connections, names or timeouts, the network or the proxy is missing: the packages
come from the package index that pip is configured for. Run the same command again when it is back.
After this, only `ci` needs the network (to install the wheel by itself)."""


# ----------------------------------------------------------------------------------- the verbs


def demo(arguments: list[str]) -> int:
    """Show a server, three workers and a crash that loses nothing; ends by itself."""
    return become(module("resonate", "demo", *arguments))


def serve(arguments: list[str]) -> int:
    """Start the development server on this machine."""
    return become(module("resonate", "dev", *arguments))


def test(arguments: list[str]) -> int:
    """Run the fast tests, on all processors; arguments go to pytest (``-n 0``: on one)."""
    return become(module("pytest", "-n", "auto", *arguments))


def check(arguments: list[str]) -> int:
    """Look at format, lint, types and imports; changes nothing."""
    refuse(arguments)
    return run_all(
        module("ruff", "format", "--check"),
        module("ruff", "check"),
        module("mypy"),
        module("pyright", "--pythonpath", str(PYTHON)),
        module("pytest", "-q", "tests/test_tidy.py"),
    )


def fix(arguments: list[str]) -> int:
    """Format, and apply the lint fixes that are safe."""
    refuse(arguments)
    return run_all(module("ruff", "check", "--fix", "--exit-zero"), module("ruff", "format"))


def bench(arguments: list[str]) -> int:
    """Run the benchmarks, or the one that is named."""
    return become(module("benchmarks", *arguments))


def sim(arguments: list[str]) -> int:
    """Simulate faults from seeds: --seed N runs one, --seconds S many, one after another."""
    return become(module("simulation", *arguments))


def ci(arguments: list[str]) -> int:
    """Do what CI does: check, wheel, coverage, sim, then every test; stops at the first failure."""
    refuse(arguments)
    # For tests it means: what is missing here, such as PostgreSQL, is a failure and not a skip.
    os.environ["CI"] = "true"
    percent = f"--fail-under={COVERAGE_PERCENT_MIN}"
    status = check([]) or run_all(
        [str(PYTHON), "tools/check_wheel.py"],
        module("coverage", "run", "-m", "pytest", "-q", *COVERED_TESTS),
        module("coverage", "report", f"--include={COVERED_SOURCES}", percent),
        module("simulation", "--seconds", str(SIMULATED_SECONDS)),
    )
    # Last, because the closing line of a build is read as its result: nothing may follow.
    return status or become(module("pytest", "-m", "not bench"))


VERBS = {verb.__name__: verb for verb in (demo, serve, test, check, fix, bench, sim, ci)}


def main(arguments: list[str]) -> int:
    """Do what the first argument says; return the exit status."""
    os.chdir(ROOT)
    if not arguments or arguments[0] in {"-h", "--help", "help"}:
        print(usage())
        return 0
    verb = VERBS.get(arguments[0])
    if verb is None:
        print(f"dev.py does not know {arguments[0]!r}.\n\n{usage()}", file=sys.stderr)
        return 2
    try:
        prepare()
        return verb(arguments[1:])
    except KeyboardInterrupt:
        return 130


def usage() -> str:
    """Return the verbs, one line each."""
    lines = ["python3 dev.py VERB [arguments]", ""]
    for name, verb in VERBS.items():
        lines.append(f"  {name:6} {(verb.__doc__ or '').strip()}")
    return "\n".join(lines)


def refuse(arguments: list[str]) -> None:
    """End with a sentence if a verb that takes no arguments got some."""
    if arguments:
        sys.exit(f"This verb takes no arguments, and got: {shlex.join(arguments)}")


# ----------------------------------------------------------------------------- the environment


def prepare() -> None:
    """Bring the environment to what ``pyproject.toml`` asks for, if it is not there already."""
    wanted = fingerprint()
    if usable() and STAMP.is_file() and STAMP.read_text(encoding="utf-8") == wanted:
        return
    print(
        f"Preparing {VENV} with Python {VERSION}, which takes half a minute."
        " Only now, and when pyproject.toml has changed."
    )
    uv = shutil.which("uv")
    if not usable():
        make(uv)
    STAMP.unlink(missing_ok=True)
    install(uv)
    STAMP.write_text(wanted, encoding="utf-8")


def fingerprint() -> str:
    """Return what the stamp must say: a hash of all that the installation depends on.

    The directory is part of it, since an environment copied along with a checkout would go on
    importing the sources it was installed from.
    """
    digest = hashlib.sha256(f"{VERSION}\n{ROOT}\n".encode())
    digest.update(Path("pyproject.toml").read_bytes())
    return digest.hexdigest()


def usable() -> bool:
    """Tell whether there is an environment of the Python version that is running."""
    try:
        settings = (VENV / "pyvenv.cfg").read_text(encoding="utf-8")
    except OSError:
        return False
    found = [line.partition("=")[2].strip() for line in settings.splitlines() if "version" in line]
    return PYTHON.is_file() and any(each.startswith(VERSION + ".") for each in found)


def make(uv: str | None) -> None:
    """Make the environment, in place of one that another Python version made."""
    if (VENV / "pyvenv.cfg").is_file():
        print(f"{VENV} belongs to another Python, or is broken; it is made anew.")
        print("(Set RESONATE_VENV to another directory to keep both.)")
        shutil.rmtree(VENV)
    elif VENV.exists():
        sys.exit(f"{VENV} is there and is not a virtual environment; move it away first.")
    if uv:
        command = [uv, "venv", "--seed", "--python", sys.executable, str(VENV)]
    elif importlib.util.find_spec("ensurepip") is None:
        sys.exit(NO_ENSUREPIP)
    else:
        command = [sys.executable, "-m", "venv", str(VENV)]
    status = run(command)
    if status:
        sys.exit(status)


def install(uv: str | None) -> None:
    """Install the checkout and the tools that work on it."""
    pip = [uv, "pip", "install", "--python", str(PYTHON)] if uv else module("pip", "install")
    quiet = ["--quiet"] if uv else ["--quiet", "--disable-pip-version-check"]
    status = run([*pip, *quiet, "-e", ".[dev]"])
    if status:
        print(NOT_INSTALLED, file=sys.stderr)
        sys.exit(status)


# -------------------------------------------------------------------------------- the commands


def module(name: str, *arguments: str) -> list[str]:
    """Return the command that runs a module in the environment."""
    return [str(PYTHON), "-m", name, *arguments]


def run(command: list[str]) -> int:
    """Run one command, shown first; return its exit status."""
    show(command)
    status = subprocess.run(command, check=False).returncode
    return status if status >= 0 else 128 - status  # killed by a signal: as a shell reports it


def run_all(*commands: list[str]) -> int:
    """Run commands until one fails; return the last status."""
    for command in commands:
        status = run(command)
        if status:
            print(f"FAILED with status {status}: {shlex.join(command)}", file=sys.stderr)
            return status
    return 0


def become(command: list[str]) -> int:
    """Run the last command, in place of this process where that can be, so signals reach it."""
    if os.name == "posix":
        show(command)
        os.execv(command[0], command)
    return run(command)


def show(command: list[str]) -> None:
    """Print a command as it could be typed."""
    print(f"$ {shlex.join(command)}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
