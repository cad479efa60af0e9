"""What is logged while a harness runs: kept to explain why nothing goes on."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator


class Log(logging.Handler):
    """Keeps what is said to go wrong; mutes it while everything is torn down."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        error = record.exc_info[1] if record.exc_info else None
        self.lines.append(record.getMessage() + (f" ({error!r})" if error else ""))

    @contextlib.contextmanager
    def muting(self) -> Iterator[None]:
        """Let nobody hear of what the end of the harness looks like to the SDK."""
        names = [f"resonate.{each}" for each in ("worker", "network", "engine")]
        for name in names:
            logging.getLogger(name).addFilter(_nothing)
        try:
            yield
        finally:
            for name in names:
                logging.getLogger(name).removeFilter(_nothing)


def _nothing(_record: logging.LogRecord) -> bool:
    return False
