"""The logger of a running function."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resonate.sdk.attempt import Attempt


class Logger(logging.LoggerAdapter[logging.Logger]):
    """Adds its fields to every record; silent about what an earlier run has logged."""

    def __init__(
        self, logger: logging.Logger, fields: dict[str, Any], attempt: Attempt | None
    ) -> None:
        super().__init__(logger, fields)
        self._attempt = attempt

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """Log a line, unless an earlier run of the function has."""
        if self._attempt is None:
            super().log(level, msg, *args, **kwargs)
        elif self.isEnabledFor(level):
            text, options = self.process(msg, kwargs)
            record = self._record(level, text, args, **options)
            self._attempt.journal.log(self.logger, record)

    def _record(
        self,
        level: int,
        msg: object,
        args: tuple[object, ...],
        *,
        exc_info: Any = None,
        extra: Any = None,
        stack_info: bool = False,
        stacklevel: int = 1,
    ) -> logging.LogRecord:
        file, line, function, stack = self.logger.findCaller(stack_info, stacklevel + 2)
        if isinstance(exc_info, BaseException):
            exc_info = (type(exc_info), exc_info, exc_info.__traceback__)
        elif exc_info and not isinstance(exc_info, tuple):
            exc_info = sys.exc_info()
        return self.logger.makeRecord(
            self.logger.name, level, file, line, msg, args, exc_info, function, extra, stack
        )
