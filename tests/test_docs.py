"""What the documentation names exists, and what exists is documented.

Pages are read as text: what is in backticks or in a code block counts as named.
"""

from __future__ import annotations

import ast
import base64
import http.client
import importlib.util
import inspect
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

import resonate
import resonate.errors
from resonate.cli.main import resonate as command
from resonate.core.properties import INTERNAL_PROPERTIES, STATE_PROPERTIES, STEP_PROPERTIES
from resonate.gateway.app import application, discovery
from resonate.protocol import limits, validation
from resonate.protocol.addresses import parse_address
from resonate.protocol.cron import next_cron, parse_cron
from resonate.protocol.envelope import Refusal, Rules, read
from resonate.protocol.requests import DEBUG_KINDS, KINDS
from resonate.sdk.context import Info
from tests.cli.servers import Server
from tests.clients.clients import CLIENTS
from tools.reference import INTERNAL

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "resonate"
PAGES = sorted(
    path for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md") for path in ROOT.glob(pattern)
)
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")

# Bounds of the server's own work: no client can tell that they are there.
INTERNAL_LIMITS = {
    "INT64_MAX", "INT64_MIN",  # named as powers of two
    "STEP_OBJECTS_MAX",
    "TIMER_HORIZON_MS", "TIMER_ENTRIES_MAX", "TIMER_NAP_MS_MAX",
}  # fmt: skip


def page(name):
    return (ROOT / name).read_text(encoding="utf-8")


def section(text, title):
    """Return what stands under a heading, up to the next one of its level or above."""
    found = re.search(rf"^(#+) {re.escape(title)}\n", text, re.MULTILINE)
    assert found, title
    rest = text[found.end() :]
    end = re.search(rf"^#{{1,{len(found[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def spans(text):
    """Return what is in backticks."""
    return re.findall(r"`([^`\n]+)`", BLOCK.sub("", text))


def code(text):
    """Return what is in backticks, and every line of every code block."""
    lines = [line for _, block in BLOCK.findall(text) for line in block.splitlines()]
    return [*spans(text), *lines]


def names(text):
    """Return the words in backticks."""
    return {word for span in spans(text) for word in re.findall(r"\w+", span)}


def rows(text):
    """Return the cells of every row of every table."""
    return [
        [cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]


# ----------------------------------------------------------------------------- pages as such


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path):
    for link in LINK.findall(BLOCK.sub("", path.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = path.parent / name if name else path
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {slug(heading) for heading in headings}, link


def slug(heading):
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize(
    "path",
    [each for each in PAGES if each.name not in ("CHANGELOG.md", "CONTRIBUTING.md")],
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_pages_end_with_where_to_go_next(path):
    headings = re.findall(r"^## (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[-1] == "Where to go next"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_python_in_pages_compiles_and_imports_what_exists(path):
    for language, block in BLOCK.findall(path.read_text(encoding="utf-8")):
        if language != "python":
            continue
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module == "resonate":
                assert {alias.name for alias in node.names} <= set(resonate.__all__)


def test_every_page_of_docs_is_reached_from_the_readme():
    linked = {(ROOT / link.partition("#")[0]).resolve() for link in LINK.findall(page("README.md"))}
    assert {path for path in PAGES if path.is_relative_to(ROOT / "docs")} <= linked


# ----------------------------------------------------------------------------- command line


def options(name):
    return {flag for option in command.commands[name].params for flag in option.opts}


def flags(text):
    return set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", text))


def test_reference_of_the_command_line_has_every_verb():
    headings = re.findall(r"^## resonate (\w+)$", page("docs/reference/cli.md"), re.MULTILINE)
    assert sorted(headings) == sorted(command.commands)


def test_reference_of_the_command_line_has_every_option_with_its_default():
    text = page("docs/reference/cli.md")
    table = {row[0].strip("`").split()[0]: row for row in rows(section(text, "resonate serve"))}
    serve = {option.opts[0]: option for option in command.commands["serve"].params}
    assert {flag for flag in table if flag.startswith("-")} - {"---"} == set(serve)
    for flag, option in serve.items():
        if getattr(option, "is_flag", False):
            assert table[flag][1] == "off"
        elif isinstance(option.default, int | str):  # it has one
            assert table[flag][1] == f"`{option.default}`"
    assert options("dev") == options("serve") - {"--db"}
    assert options("demo") == set()


def test_reference_of_the_command_line_has_no_other_option():
    named = {flag for span in spans(page("docs/reference/cli.md")) for flag in flags(span)}
    named -= {"-wal", "-shm", "-m"}
    assert named == options("serve") | {"--version", "--help", "-h"}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_commands_in_pages_exist(path):
    for text in code(path.read_text(encoding="utf-8")):
        for verb, rest in re.findall(r"(?:^|/bin/|-m )resonate ([a-z]+)\b(.*)", text):
            assert verb in command.commands, text
            assert flags(rest.partition("  ")[0]) <= options(verb), text
        for verb in re.findall(r"dev\.py ([a-z]+)\b", text):
            assert verb in verbs(), text


RUN = {  # what else is run in pages, and where its options are
    "dev.py sim": "simulation/__main__.py",
    "-m tests.model.differential": "tests/model/differential.py",
}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_options_of_other_programs_in_pages_exist(path):
    for text in code(path.read_text(encoding="utf-8")):
        for program, source in RUN.items():
            _, found, rest = text.partition(program)
            if found:
                known = set(re.findall(r'add_argument\(\s*"(--[\w-]+)"', page(source)))
                assert flags(rest.replace("[", "").replace("]", "")) <= known, text


def verbs():
    spec = importlib.util.spec_from_file_location("dev", ROOT / "dev.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.VERBS


# ------------------------------------------------------------------------------- environment


def variables():
    """Return the environment variables that the package, its task runner and its tests name."""
    found = set()
    for path in (ROOT / "tests").rglob("*.py"):
        text = "" if path == Path(__file__) else path.read_text(encoding="utf-8")
        found |= set(re.findall(r'"(RESONATE_[A-Z_]+[A-Z]|MODEL_[A-Z_]+)"', text))
    for path in [*SOURCE.rglob("*.py"), ROOT / "dev.py"]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Constant(value=str(value)) if re.fullmatch(r"RESONATE_[A-Z_]+", value):
                    found.add(value)
                case (
                    ast.Call(
                        func=ast.Attribute(value=ast.Attribute(attr="environ")),
                        args=[ast.Constant(value=str(value)), *_],
                    )
                    | ast.Subscript(
                        value=ast.Attribute(attr="environ"), slice=ast.Constant(value=str(value))
                    )
                ):
                    found.add(value)
    return found


def test_configuration_has_every_environment_variable_and_no_other():
    named = {span for span in spans(page("docs/reference/configuration.md")) if span.isupper()}
    assert named == variables()
    assert "RESONATE_URL" in named


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_environment_variables_in_pages_exist(path):
    named = set(re.findall(r"(?:RESONATE|MODEL)_[A-Z_]+", path.read_text(encoding="utf-8")))
    assert named <= variables()


def test_configuration_names_loggers_that_exist():
    text = "".join(path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py"))
    made = set(re.findall(r'getLogger\("(resonate[.\w]*)"\)', text))
    named = {each for each in spans(page("docs/reference/configuration.md")) if "resonate." in each}
    assert named == made - {"resonate"}


# ------------------------------------------------------------------------------------ limits


def constants():
    return {name: value for name, value in vars(limits).items() if name.isupper()}


def test_reference_of_limits_has_every_limit_with_its_value():
    table = {row[0].strip("`"): row[1] for row in rows(page("docs/reference/limits.md"))}
    text = page("docs/reference/limits.md")
    for name, value in constants().items():
        if name in INTERNAL_LIMITS:
            continue
        assert name in names(text), name
        cell = table.get(name, text)
        for each in value if isinstance(value, tuple) else [value]:
            number = f"{each:,g}" if isinstance(each, float) else f"{each:,}"
            assert re.search(rf"(?<![\d,.]){re.escape(number)}(?!,?\d)", cell), name


def test_reference_of_limits_has_no_other():
    named = {
        name for name in names(page("docs/reference/limits.md")) if name.isupper() and "_" in name
    }
    assert named <= set(constants())
    assert set(constants()) >= INTERNAL_LIMITS


# ---------------------------------------------------------------------------------- http api

API = "docs/reference/http-api.md"
SECTIONS = {
    "promise": "Promises",
    "task": "Tasks",
    "schedule": "Schedules",
    "debug": "Debug operations",
}
LENIENT, STRICT = (discovery(Rules(strict=strict))["extensions"] for strict in (False, True))


def kinds():
    """Return the row of each kind, by its name."""
    return {
        row[0].strip("`"): row
        for prefix, title in SECTIONS.items()
        for row in rows(section(page(API), title))
        if row[0].startswith(f"`{prefix}.")
    }


def test_http_reference_has_every_request_kind_and_no_other():
    assert set(kinds()) == {*KINDS, *DEBUG_KINDS}


def test_http_reference_has_every_field_of_every_request_and_no_other():
    table = kinds()
    inner = {"id", "version"} | {name for name in KINDS if name.startswith("promise.")}
    for kind, request in {**KINDS, **DEBUG_KINDS}.items():
        data = inspect.get_annotations(request, eval_str=True)["data"]
        fields = set(data.__struct_encode_fields__)
        named = set(re.findall(r"`([\w.]+)\??`", table[kind][1]))
        assert fields <= named, kind
        assert named <= fields | inner, kind
        optional = set(re.findall(r"`(\w+)\?`", table[kind][1]))
        required = len(data.__struct_fields__) - len(data.__struct_defaults__)
        assert optional == set(data.__struct_encode_fields__[required:]), kind


def test_http_reference_has_every_route():
    paths = {row[0].strip("`").split()[-1] for row in rows(page(API))}
    for route in application(SimpleNamespace(rules=Rules())).routes:
        path = route.path
        if "rest:path" not in path and path not in ("/promises", "/tasks", "/schedules"):
            assert path in paths
    assert "/poll/{group}/{id}" in paths


def test_http_reference_has_every_extension_and_no_other():
    listed = {row[0].strip("`") for row in rows(section(page(API), "Discovery"))[2:]}
    assert listed == set(LENIENT)
    assert set(discovery(Rules())["limits"]) <= names(section(page(API), "Discovery"))
    poll = {row[0].strip("`").split("=")[0] for row in rows(section(page(API), "Poll"))[2:]}
    assert poll == {*LENIENT["poll"], "ttl"}
    found = [row[0] for row in rows(section(page(API), "Searches")) if row[0].startswith("`")]
    fields = {name for cell in found for name in re.findall(r"`(\w+)`", cell)}
    assert fields == {name for kind in LENIENT["search"].values() for name in kind}
    assert set(LENIENT["heartbeat"]) <= names(section(page(API), "Tasks"))
    assert set(LENIENT["release"]) <= names(section(page(API), "Tasks"))


def test_http_reference_marks_what_searches_have_beyond_the_protocol():
    for kind, fields in LENIENT["search"].items():
        protocol, _, ours = kinds()[f"{kind}.search"][1].partition("extension")
        assert set(re.findall(r"`(\w+)\?`", ours)) == set(fields)
        assert not set(re.findall(r"`(\w+)\?`", protocol)) & set(fields)


def test_http_reference_tells_what_a_strict_server_has_no_more():
    text = section(page(API), "Strict mode")
    assert set(STRICT) <= names(text)
    rest = text[text.index("`batch`") :]
    assert {"poll", "lost", "delay"} <= names(rest)
    assert "searches" in rest
    assert set(LENIENT) - set(STRICT) == {"poll", "heartbeat", "release", "search"}


def test_http_reference_has_every_status():
    core = "".join(path.read_text(encoding="utf-8") for path in (SOURCE / "core").glob("*.py"))
    doors = page("src/resonate/protocol/envelope.py") + page("src/resonate/gateway/exchange.py")
    used = {
        *re.findall(r"Answer\((\d{3})", core),
        *re.findall(r"(?:return|Refusal\() ?(\d{3})", doors),
    }
    assert "501" in used
    assert used | {"413", "500", "503"} <= {row[0] for row in rows(section(page(API), "Envelope"))}


def test_http_reference_has_every_tag_with_a_meaning():
    known = {
        value
        for value in vars(validation).values()
        if isinstance(value, str) and re.fullmatch(r"resonate:\w+", value)
    }
    table = {row[0].strip("`") for row in rows(section(page(API), "Promises"))}
    assert {each for each in table if each.startswith("resonate:")} == known
    assert len(known) > 5


def test_http_reference_has_every_form_of_an_address():
    found = [each for row in rows(section(page(API), "Addresses")) for each in spans(row[0])]
    parsed = {text: parse_address(text.replace("…", "host")) for text in found}
    assert all(parsed.values()), parsed
    assert {each.cast for each in parsed.values()} == {"any", "uni", "http"}


def requests_in(text):
    """Return the bodies of the requests that the code blocks of a page send."""
    for _, block in BLOCK.findall(text):
        if block.startswith("curl") and " -d " in block:
            words = shlex.split(block)
            yield words[words.index("-d") + 1]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_requests_in_pages_are_valid(path):
    for body in requests_in(path.read_text(encoding="utf-8")):
        assert not isinstance(read(body.encode()), Refusal), body


@pytest.mark.parametrize("name", ["schedule", "find-promises"])
def test_pages_about_requests_have_some(name):
    assert list(requests_in(page(f"docs/how-to/{name}.md")))


def test_searches_in_a_table_are_valid():
    table = rows(section(page("docs/how-to/find-promises.md"), "List what is in one state"))[2:]
    assert len(table) > 5
    for _, cell in table:
        head = {"corrId": "1", "version": "2026-04-01"}
        body = {"kind": "promise.search", "head": head, "data": json.loads(cell.strip("`"))}
        assert not isinstance(read(json.dumps(body).encode()), Refusal), cell


# --------------------------------------------------------------------------------- how-to pages


def test_expressions_of_schedules_mean_what_the_page_says():
    text = section(page("docs/how-to/schedule.md"), "Write the cron expression")
    table = [row for row in rows(text) if row[0].startswith("`")]
    valid = {span: row[1] for row in table for span in spans(row[0]) if "never" not in row[1]}
    never = [span for row in table for span in spans(row[0]) if "never" in row[1]]
    assert len(valid) > 5
    assert len(never) == 3
    assert not any(map(parse_cron, never))
    for text, meaning in valid.items():
        cron = parse_cron(text)
        assert cron is not None, text
        instant = next_cron(cron, 1_772_618_400_000)  # Wednesday, 4 March 2026, 10:00
        day = time.strftime("%A", time.gmtime(instant / 1000))
        if "Sundays" in meaning:
            assert day == "Sunday"
        if "Friday" in meaning and "Monday" not in meaning:
            assert day == "Friday"
    shorthands = [row[1] for row in rows(text) if row[0] == "1"]
    assert all(parse_cron(span) for cell in shorthands for span in spans(cell))


def test_the_call_of_a_schedule_is_what_the_page_says():
    text = page("docs/how-to/schedule.md")
    created = next(requests_in(text))
    param = json.loads(created)["data"]["promiseParam"]["data"]
    shown = next(block for language, block in BLOCK.findall(text) if language == "json")
    assert json.loads(base64.b64decode(param)) == json.loads(shown)


def test_the_releases_of_official_sdks_are_those_that_are_tested():
    text = page("docs/how-to/other-sdks.md")
    named = {row[1] for row in rows(text) if re.fullmatch(r"\d+\.\d+\.\d+", row[1])}
    assert named == {name.partition("-")[2] for name in CLIENTS}


# --------------------------------------------------------------------------------------- sdk


@pytest.mark.parametrize("name", resonate.__all__)
def test_sdk_reference_has_every_public_member(name):
    known = names(section(page("docs/reference/sdk.md"), name))
    public = {each for each in dir(getattr(resonate, name)) if not each.startswith("_")}
    public -= {each.removeprefix(f"{name}.") for each in INTERNAL}
    assert public - {"remote", "local"} <= known
    assert public


def test_sdk_reference_has_every_argument():
    text = section(page("docs/reference/sdk.md"), "Resonate")
    for function in (
        resonate.Resonate,
        resonate.Resonate.remote,
        resonate.Resonate.local,
        resonate.Resonate.options,
        resonate.Resonate.register,
        resonate.Resonate.stop,
    ):
        arguments = set(inspect.signature(function).parameters) - {"self"}
        assert arguments <= names(text), function


def test_sdk_reference_has_the_defaults():
    table = {
        row[0].strip("`"): row[1]
        for row in rows(section(page("docs/reference/sdk.md"), "Making one"))
    }
    parameters = inspect.signature(resonate.Resonate).parameters
    for name in ("ttl", "concurrency", "patience"):
        assert float(table[name]) == parameters[name].default
    assert table["group"] == f'`"{parameters["group"].default}"`'


def test_sdk_reference_has_the_facts_of_a_context():
    assert set(Info.__struct_fields__) <= names(section(page("docs/reference/sdk.md"), "Context"))


def test_sdk_reference_has_every_error_and_no_other():
    table = rows(section(page("docs/reference/sdk.md"), "Errors"))
    named = {row[0].strip("`") for row in table[2:]}
    assert named | {"ResonateError", "register_exception"} == set(resonate.errors.__all__)
    assert "register_exception" in names(section(page("docs/reference/sdk.md"), "Errors"))


# --------------------------------------------------------------------------------- internals

INTERNALS = sorted((ROOT / "docs" / "internals").glob("*.md"))


@pytest.mark.parametrize("path", INTERNALS, ids=lambda path: path.name)
def test_files_named_in_internals_exist(path):
    for span in spans(path.read_text(encoding="utf-8")):
        if re.fullmatch(r"[\w/.]+\.(py|md|sql)|[\w/]+/|tests/[\w/]+", span):
            assert (ROOT / span).exists() or (SOURCE / span).exists(), span


@pytest.mark.parametrize("path", INTERNALS, ids=lambda path: path.name)
def test_tests_named_in_internals_exist(path):
    named = set(re.findall(r"`(test_\w+)`", path.read_text(encoding="utf-8")))
    known = set()
    for each in (ROOT / "tests").rglob("test_*.py"):
        known |= set(re.findall(r"^(?:async )?def (test_\w+)", each.read_text(), re.MULTILINE))
    assert named <= known, sorted(named - known)


@pytest.mark.parametrize("path", INTERNALS, ids=lambda path: path.name)
def test_properties_named_in_internals_exist(path):
    prefixes = "well_formed|consistent|monotone|preserved"
    named = set(re.findall(rf"`((?:{prefixes})_\w+)`", path.read_text(encoding="utf-8")))
    assert named <= {*STATE_PROPERTIES, *STEP_PROPERTIES, *INTERNAL_PROPERTIES}


def test_conformance_answers_every_question_in_order():
    text = page("docs/internals/conformance.md")
    found = [row[0] for row in rows(text) if re.fullmatch(r"[CLP]\d+", row[0])]
    for letter in "CLP":
        numbers = [int(each[1:]) for each in found if each.startswith(letter)]
        assert numbers == list(range(1, len(numbers) + 1))
    assert found.count("C12") == 1
    for row in rows(text):
        if re.fullmatch(r"[CLP]\d+", row[0]):
            assert len(row) == 4, row[0]
            assert "test_" in row[3], row[0]


# ------------------------------------------------------------------- programs in the pages


@pytest.mark.slow
def test_programs_for_local_use_run(tmp_path):
    """The first prints what its comment says; with the two tests after it, it is a test module."""
    blocks = [block for _, block in BLOCK.findall(page("docs/how-to/run-locally.md"))]
    (tmp_path / "test_page.py").write_text("\n".join(blocks[:3]))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "test_page.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.stdout.startswith("hello Ada\n")
    assert "2 passed" in done.stdout


@pytest.mark.slow
def test_receiver_of_tasks_over_http_does_what_its_page_says(tmp_path):
    blocks = [block for _, block in BLOCK.findall(page("docs/how-to/push.md"))]
    program = next(block for block in blocks if "ThreadingHTTPServer" in block)
    port = free_port()
    (tmp_path / "receiver.py").write_text(program.replace("9000", str(port)))
    with Server("serve", "--port", "0", cwd=tmp_path) as server:
        environment = {**os.environ, "RESONATE_URL": server.url}
        line = [sys.executable, "receiver.py"]
        client = resonate.Resonate.remote(server.url, group="callers")
        there = client.options(target=f"http://127.0.0.1:{port}/resonate")
        with subprocess.Popen(
            line, env=environment, cwd=tmp_path, stderr=subprocess.DEVNULL
        ) as receiver:
            try:
                assert there.begin_rpc("sum-1", "add", 2, 3).result(30) == 5
                with pytest.raises(resonate.errors.RemoteError, match="unsupported operand"):
                    there.begin_rpc("sum-2", "add", 2, "x").result(30)
            finally:
                client.stop(0)
                receiver.kill()


@pytest.mark.slow
def test_requests_about_schedules_and_promises_are_answered(tmp_path):
    with Server("serve", "--port", "0", cwd=tmp_path) as server:
        for name in ("schedule", "find-promises"):
            for body in requests_in(page(f"docs/how-to/{name}.md")):
                assert post(server.url, body)["head"]["status"] == 200, body


def post(url, body):
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    try:
        connection.request("POST", "/", body)
        return json.load(connection.getresponse())
    finally:
        connection.close()


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@pytest.mark.slow
def test_tutorial_goes_as_it_says(tmp_path):
    blocks = [
        block for language, block in BLOCK.findall(page("docs/tutorial.md")) if language == "python"
    ]
    first, worker, call = blocks
    (tmp_path / "first.py").write_text(first.replace("sleep(1)", "sleep(0.01)"))
    (tmp_path / "worker.py").write_text(worker.replace("sleep(1)", "sleep(0.5)"))
    (tmp_path / "call.py").write_text(call.replace("20", "4"))

    with Server("serve", "--port", "0", cwd=tmp_path) as server:
        environment = {**os.environ, "RESONATE_URL": server.url, "PYTHONUNBUFFERED": "1"}

        def run(*arguments, stdout=subprocess.PIPE):
            return subprocess.Popen(
                [sys.executable, *arguments],
                env=environment,
                cwd=tmp_path,
                text=True,
                stdout=stdout,
            )

        def result_of(id):
            out, _ = run("call.py", id).communicate(timeout=30)
            first, second = out.splitlines()
            assert first == f"{id} is durable"
            assert second.startswith("4 steps in process ")
            return int(second.split()[-1])

        alone = {key: value for key, value in environment.items() if key != "RESONATE_URL"}
        line = [sys.executable, "first.py"]
        done = subprocess.run(
            line, env=alone, cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert done.stdout.split("\n") == ["3 …", "2 …", "1 …", "lift-off", ""]

        log = tmp_path / "workers.log"
        with (
            log.open("w") as stdout,
            run("worker.py", stdout=stdout) as one,
            run("worker.py", stdout=stdout) as two,
        ):
            try:
                process = result_of("first")
                assert process in (one.pid, two.pid)
                assert result_of("first") == process

                with run("call.py", "second") as caller:
                    assert caller.stdout.readline() == "second is durable\n"
                    working = process_that_says("second.3: step 3", log)
                    victim, survivor = (one, two) if working == one.pid else (two, one)
                    victim.kill()
                    assert caller.stdout.readline() == (
                        f"2 steps in process {victim.pid}, 2 steps in process {survivor.pid}\n"
                    )

                survivor.send_signal(signal.SIGINT)
                assert survivor.wait(timeout=20) == 0
            finally:
                one.kill()
                two.kill()


def process_that_says(text, log):
    """Wait until a worker says it; return which process that is."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for line in log.read_text().splitlines():
            if text in line:
                return int(re.search(r"process (\d+)", line)[1])
        time.sleep(0.02)
    raise AssertionError(log.read_text())
