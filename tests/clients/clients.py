"""Official SDKs as a test uses them: by starting their programs and reading what those print."""

from __future__ import annotations

import json
from typing import Any

from tests.clients.environments import Environment
from tests.processes.children import Child, Children

CLIENTS = ("python-0.8.1", "python-0.7.4", "typescript-0.11.5")


class Client:
    """One official SDK in one test: starts its programs, which find the server by RESONATE_URL."""

    def __init__(self, environment: Environment, children: Children, url: str) -> None:
        self.name = environment.name
        self._environment = environment
        self._children = children
        self._url = url

    def start(self, program: str, *arguments: object) -> Child:
        env = self._environment
        path = env.laid_out(self._children.folder) / f"{program}{env.suffix}"
        line = [*env.interpreter, str(path), *map(str, arguments)]
        child = Child(f"{self.name} {program}", line, {"RESONATE_URL": self._url})
        self._children.all.append(child)
        return child

    def run(self, program: str, *arguments: object) -> Any:
        """Run a program to its end; return its result."""
        return result(self.start(program, *arguments))


def result(child: Child, seconds: float = 30.0) -> Any:
    """Wait for the end of a program; return what it printed as its result."""
    status = child.wait(seconds)
    assert status == 0, f"{child.name} ended with status {status}"
    (line,) = [each for each in child.lines if each.startswith("result ")]
    return json.loads(line.removeprefix("result "))
