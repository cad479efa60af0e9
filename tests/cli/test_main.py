"""The command as a whole: help, version, and what it refuses."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version

import click
import pytest
from click.testing import CliRunner

from resonate.cli.main import resonate


def run(*arguments):
    return CliRunner().invoke(resonate, arguments, prog_name="resonate")


def test_version_names_the_package_version():
    result = run("--version")
    assert (result.exit_code, result.output) == (0, f"resonate {version('resonate-py')}\n")


def test_help_lists_every_verb_with_a_sentence():
    output = run("--help").output
    for name, command in resonate.commands.items():
        assert any(
            line.split()[0] == name and len(line.split()) > 3
            for line in output.splitlines()
            if line.strip()
        ), name
        assert command.help


@pytest.mark.parametrize("verb", sorted(resonate.commands))
def test_help_explains_every_option(verb):
    result = run(verb, "-h")
    assert result.exit_code == 0
    for parameter in resonate.commands[verb].params:
        assert isinstance(parameter, click.Option)
        assert parameter.help
        assert all(name in result.output for name in parameter.opts)


def test_help_tells_the_defaults():
    output = run("serve", "--help").output
    assert "[default: resonate.db]" in output
    assert "[default: 127.0.0.1]" in output
    assert "[default: 8001;" in output
    assert "[default: 1000;" in output


def test_unknown_verb_is_a_usage_error():
    assert run("sing").exit_code == 2


@pytest.mark.slow
@pytest.mark.parametrize("by", ["-O", "PYTHONOPTIMIZE"])
def test_python_without_assertions_is_refused(by):
    flags = [by] if by == "-O" else []
    environment = {**os.environ, "PYTHONOPTIMIZE": "" if flags else "1"}
    done = subprocess.run(
        [sys.executable, *flags, "-m", "resonate", "serve"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 1
    assert "does not run under python -O" in done.stderr
    assert len(done.stderr.splitlines()) == 1
