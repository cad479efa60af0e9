"""Functions for tests of processes, which import them by name from here."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
import threading
import time
from datetime import datetime
from pathlib import Path


class OddError(Exception):
    """Can be pickled."""

    def __init__(self, number):
        super().__init__(number)
        self.number = number


class StubbornError(Exception):
    """Can be pickled, and not made again."""

    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


def facts(ctx, at: datetime, *, more: int = 0):
    info = ctx.info
    return [os.getpid(), ctx.id, info.attempt, info.root, ctx.cancelled, at.year + more]


def where(ctx):
    return os.getpid()


def note(path, text):
    """Write a line that others see at once, whatever becomes of this process."""
    with Path(path).open("a") as file:
        file.write(f"{text}\n")


def notes(path):
    path = Path(path)
    return path.read_text().splitlines() if path.exists() else []


def hold(ctx, path, seconds):
    """Hold the GIL, in C."""
    note(path, os.getpid())
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))
    return "held"


def stay(ctx, path):
    note(path, os.getpid())
    time.sleep(1000)


def die(ctx, how):
    if how == "exit":
        os._exit(3)
    os.kill(os.getpid(), getattr(signal, how))
    time.sleep(10)


def die_once(ctx, path):
    note(path, ctx.info.attempt)
    if ctx.info.attempt == 1:
        os._exit(1)
    return ctx.info.attempt


def fork_and_die(ctx):
    if os.fork() == 0:
        time.sleep(3)
        os._exit(0)
    os._exit(7)


def fail(ctx, how):
    if how == "exit":
        sys.exit(5)
    raise {"odd": OddError(3), "stubborn": StubbornError(1, 2), "value": ValueError("text")}[how]


def ask(ctx, what):
    if what == "dependency":
        return ctx.get_dependency("x")
    return {
        "run": lambda: ctx.run(facts),
        "rpc": lambda: ctx.rpc("f"),
        "sleep": lambda: ctx.sleep(1),
        "uuid": ctx.uuid,
        "time": ctx.time.time,
    }[what]()


def speak(ctx):
    print("printed", flush=True)
    ctx.logger.info("from %s", "the context", extra={"own": 1})
    logging.getLogger("mine").warning("of its own")
    logging.getLogger("mine").debug("not wanted")


def give(ctx, value=None):
    return threading.Lock() if value is None else value


def slow(ctx, seconds):
    start = time.monotonic()
    time.sleep(seconds)
    return [os.getpid(), start, time.monotonic()]


def twice(ctx):
    return 1


first_of_twice = twice


def twice(ctx):  # the first one is not found by its name any more
    return 2


class Group:
    @staticmethod
    def method(ctx):
        return "of a class"


def generator(ctx):
    yield


async def coroutine(ctx):
    pass
