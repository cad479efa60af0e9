"""The program of a child of a worker: it runs functions, one after the other; see ``processes``.

It reads jobs from its standard input and answers on its standard output, which it keeps for that:
what a function prints goes to the standard error.

Rules:
- It ends with the worker, however that ends. On Linux the kernel sees to it, also while a function
  holds the GIL; elsewhere it is when the function lets go of that.
- Arguments, results and exceptions cross by pickle: worker and child speak over pipes that nobody
  else has. What comes from the server was read as JSON before, as anywhere.
- What is logged here is handled over there.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import logging
import logging.handlers
import os
import pickle
import queue
import signal
import struct
import sys
import threading
from typing import IO, Any, NoReturn

from msgspec import Struct

from resonate.sdk import failures
from resonate.sdk.context import Context, Info
from resonate.sdk.errors import EncodingError
from resonate.sdk.function import Registrable
from resonate.sdk.steps import Call

FUNCTIONS = "resonate.function"  # the logger of ``ctx.logger``
BEGUN, LOG, VALUE, ERROR = range(4)  # what a child says
_LENGTH = struct.Struct("!Q")


# --- both sides -----------------------------------------------------------------------------------


class Job(Struct, frozen=True):
    """What a child is told: call this function with that.

    ``read`` as in Call. ``levels`` are those of the root logger and of the functions' logger.
    """

    module: str
    qualname: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    read: bool
    info: Info
    levels: tuple[int, int]


def find(module: str, qualname: str) -> Any:
    """Return what stands under a name in a module. Raises ImportError, AttributeError."""
    found: Any = importlib.import_module(module)
    for part in qualname.split("."):
        found = getattr(found, part)
    return found.func if isinstance(found, Registrable) else found


def pickled(value: Any, what: str) -> bytes:
    """Return a value as bytes; raises EncodingError, which calls it ``what``."""
    try:
        return pickle.dumps(value)
    except Exception as error:
        raise EncodingError(f"{what} cannot go to another process: {error}") from error


def write(stream: IO[bytes], data: bytes) -> None:
    """Write bytes that ``read`` returns at the other end."""
    stream.write(_LENGTH.pack(len(data)) + data)
    stream.flush()


def read(stream: IO[bytes]) -> bytes:
    """Return what was written at once. Raises EOFError when the other end is gone."""
    return _exactly(stream, _LENGTH.unpack(_exactly(stream, _LENGTH.size))[0])


def _exactly(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data


def detach(descriptor: int) -> None:
    """Have a file descriptor lead nowhere."""
    with contextlib.suppress(OSError):
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, descriptor, inheritable=False)
        os.close(null)


# --- the child ------------------------------------------------------------------------------------


class ProcessContext(Context):
    """The context of a function in a process: facts, and a logger."""

    def __init__(self, info: Info) -> None:
        super().__init__(info, {})

    def _running(self) -> NoReturn:
        raise RuntimeError(
            'with executor="process" the context has facts and a logger only: ask for operations'
            " in the function that calls this one"
        )

    def get_dependency(self, key: Any, default: Any = None) -> NoReturn:  # noqa: ARG002  # the base's
        """Raise RuntimeError: dependencies stay in the worker."""
        raise RuntimeError(
            'with executor="process" there are no dependencies: they stay in the worker. Make what'
            " is needed in the module of the function, or give it as an argument"
        )


class _Speaker(logging.handlers.QueueHandler):
    """Says to the worker what is logged, and how functions end."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(queue.SimpleQueue())
        self._stream = stream
        self._one = threading.Lock()

    def enqueue(self, record: logging.LogRecord) -> None:
        """Say a line of the log."""
        self.say(LOG, pickle.dumps(record))

    def say(self, kind: int, told: Any) -> None:
        """Say something whole."""
        data = pickle.dumps((kind, told))
        with self._one:
            write(self._stream, data)


def work() -> None:
    """Run functions, one after the other, until the worker is gone."""
    pipe, speaker = _take_over_streams()
    logging.getLogger().addHandler(speaker)
    for number in (signal.SIGINT, signal.SIGTERM):  # they are for the worker, which ends this
        signal.signal(number, lambda *_: None)
    jobs: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(pipe, jobs), daemon=True).start()
    while True:
        _carry_out(jobs.get(), pipe.fileno(), speaker)


def _take_over_streams() -> tuple[IO[bytes], _Speaker]:
    pipe, out = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    try:
        os.dup2(2, 1)
    except OSError:  # there is no standard error
        os.dup2(null, 1)
    if hasattr(os, "register_at_fork"):  # what is forked and outlives us must not seem to be us
        os.register_at_fork(after_in_child=functools.partial(detach, out))
    return os.fdopen(pipe, "rb"), _Speaker(os.fdopen(out, "wb"))


def _listen(pipe: IO[bytes], jobs: queue.SimpleQueue[bytes]) -> None:
    with contextlib.suppress(EOFError, OSError):
        while True:
            jobs.put(read(pipe))  # the main thread makes of it what may need user code
    os._exit(0)


def _carry_out(data: bytes, pipe: int, speaker: _Speaker) -> None:
    speaker.say(BEGUN, None)
    _bind(pipe, bound=True)
    kind, told = _outcome(data)
    _bind(pipe, bound=False)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    speaker.say(kind, told)


def _outcome(data: bytes) -> tuple[int, Any]:
    try:
        job = pickle.loads(data)  # noqa: S301  # our own worker
        return VALUE, pickled(_call(job), f"the result of {job.qualname}")
    except BaseException as error:  # noqa: BLE001  # whatever user code raises is its outcome
        return ERROR, (failures.describe(error), _whole(error))


def _call(job: Job) -> Any:
    for name, level in zip(("", FUNCTIONS), job.levels, strict=True):
        logging.getLogger(name).setLevel(level)
    call = Call(find(job.module, job.qualname), job.args, job.kwargs, read=job.read)
    return call(ProcessContext(job.info))


def _whole(error: BaseException) -> bytes | None:
    """Return an exception as it is, if it can be made again."""
    try:
        data = pickle.dumps(error)
        return data if type(pickle.loads(data)) is type(error) else None  # noqa: S301  # just made
    except Exception:  # noqa: BLE001  # user code: its own __init__ may want something else
        return None


def _bind(pipe: int, *, bound: bool) -> None:
    """Have the kernel kill this process when the worker is gone, while a function runs.

    The worker writes nothing to the pipe meanwhile: what happens to it is that it is closed.
    """
    if sys.platform != "linux":
        return
    import fcntl  # noqa: PLC0415  # not made for Windows
    import select  # noqa: PLC0415  # needed here only

    flags = fcntl.fcntl(pipe, fcntl.F_GETFL) & ~os.O_ASYNC
    if bound:
        fcntl.fcntl(pipe, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(pipe, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(pipe, fcntl.F_SETFL, flags | (os.O_ASYNC if bound else 0))
    poll = select.poll()
    poll.register(pipe, 0)
    if bound and poll.poll(0):  # it was closed before
        os._exit(0)
