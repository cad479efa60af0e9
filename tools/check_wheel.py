"""Prove that the wheel is whole: build it, install it alone, start the server from it, use it.

The tests run on the source tree, where nothing can be forgotten in packing. Here there is no source
tree: an empty environment in a temporary directory, with the working directory there too. A change
of the command line that breaks ``SERVE`` has to be made here as well.

Standard library only; run by ``dev.py ci``, or alone with a Python that has pip and venv.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "resonate"
SERVE = ["serve", "--host", "127.0.0.1", "--port"]  # its database goes into the working directory
PROTOCOL = "2026-04-01"
START_SECONDS_MAX = 30
STOP_SECONDS_MAX = 15
STOPPED = 1 if os.name == "nt" else 0  # Windows knows no SIGTERM: it is killed there
CACHE = re.compile(r"(^|/)(__pycache__/|\.)")  # left by Python and the tools


def main() -> None:
    """Build, install, start, ask."""
    with tempfile.TemporaryDirectory(prefix="check-wheel-") as name:
        directory = Path(name)
        wheel = build(directory)
        check_contents(wheel)
        command = install(wheel, directory)
        check_version(command, wheel, directory)
        with server(command, directory) as port:
            check_answers(port)
    print(f"{wheel.name}: builds, installs, starts and answers")


def build(directory: Path) -> Path:
    """Build the wheel and return where it is."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet"]
    run([*pip, "--no-deps", "--wheel-dir", str(directory), str(ROOT)], directory)
    (wheel,) = directory.glob("*.whl")
    return wheel


def check_contents(wheel: Path) -> None:
    """Compare the names in the wheel with those in the source tree, SQL and pages included."""
    source = {
        path.relative_to(PACKAGE.parent).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and not CACHE.search(path.relative_to(PACKAGE).as_posix())
    }
    with zipfile.ZipFile(wheel) as archive:
        packed = {each for each in archive.namelist() if ".dist-info/" not in each}
    expect(sorted(packed - source), [], "files that are only in the wheel")
    expect(sorted(source - packed), [], "files that the wheel lacks")


def install(wheel: Path, directory: Path) -> Path:
    """Install the wheel into an empty environment; return the path of its command."""
    environment = directory / "environment"
    run([sys.executable, "-m", "venv", str(environment)], directory)
    scripts = environment / ("Scripts" if os.name == "nt" else "bin")
    pip = [str(scripts / "python"), "-m", "pip", "--disable-pip-version-check"]
    run([*pip, "install", "--quiet", str(wheel)], directory)
    return scripts / "resonate"


def check_version(command: Path, wheel: Path, directory: Path) -> None:
    """Require that ``--version`` names the version of the wheel."""
    version = wheel.name.split("-")[1]
    output = run([str(command), "--version"], directory)
    expect(version in output.split(), True, f"--version names {version}, in {output!r}")


@contextlib.contextmanager
def server(command: Path, directory: Path) -> Iterator[int]:
    """Run the server on a free port, and stop it as an operator would."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    arguments = [str(command), *SERVE, str(port)]
    print(f"$ {shlex.join(arguments)}", flush=True)
    process = subprocess.Popen(arguments, cwd=directory, env=clean_environment())
    try:
        wait_until_ready(process, port)
        yield port
        process.terminate()
        status = process.wait(STOP_SECONDS_MAX)
        expect(status, STOPPED, "status of the server that was asked to stop")
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def wait_until_ready(process: subprocess.Popen[bytes], port: int) -> None:
    """Return when ``GET /ready`` says yes."""
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline:
        if process.poll() is not None:
            sys.exit(f"check_wheel: the server ended with status {process.returncode}")
        with contextlib.suppress(OSError):
            if ask(port, "GET", "/ready")[0] == 200:
                return
        time.sleep(0.05)
    sys.exit(f"check_wheel: the server was not ready after {START_SECONDS_MAX} s")


def check_answers(port: int) -> None:
    """Require discovery, and a promise that can be made and read back."""
    status, body = ask(port, "GET", "/")
    expect(status, 200, "status of GET /")
    expect(PROTOCOL in json.loads(body)["protocol"], True, "GET / names the protocol")

    timeout_at = int(time.time() * 1000) + 60_000
    for kind, data in (
        ("promise.create", {"id": "wheel", "timeoutAt": timeout_at, "param": {}, "tags": {}}),
        ("promise.get", {"id": "wheel"}),
    ):
        head = {"corrId": "1", "version": PROTOCOL}
        status, body = ask(port, "POST", "/", {"kind": kind, "head": head, "data": data})
        expect(status, 200, f"status of {kind}, which answered {body!r}")
        promise = json.loads(body)["data"]["promise"]
        expect((promise["id"], promise["state"]), ("wheel", "pending"), f"promise of {kind}")


def ask(port: int, method: str, path: str, document: Any = None) -> tuple[int, bytes]:
    """Send one request on a connection of its own; return status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        body = None if document is None else json.dumps(document)
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def run(command: list[str], directory: Path) -> str:
    """Run a command to its end away from the source tree; return what it printed."""
    print(f"$ {shlex.join(command)}", flush=True)
    done = subprocess.run(
        command,
        check=False,
        cwd=directory,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        sys.exit(f"{done.stdout}\ncheck_wheel: status {done.returncode} from {shlex.join(command)}")
    return done.stdout


def clean_environment() -> dict[str, str]:
    """Return the environment without what could bring in the source tree or a configuration."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "RESONATE_")) and name != "VIRTUAL_ENV"
    }


def expect(actual: object, expected: object, what: str) -> None:
    """End with a sentence if the two differ."""
    if actual != expected:
        sys.exit(f"check_wheel: {what}: {actual!r}, expected {expected!r}")


if __name__ == "__main__":
    main()
