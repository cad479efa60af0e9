"""Cron expressions: when a schedule fires. All instants are UTC.

============  ===============  ===================================================================
second        0-59             absent (five fields): 0
minute        0-59
hour          0-23
day of month  1-31             ``?`` is ``*``
month         1-12             or ``JAN``, ``January``, in any case
day of week   1-7, **1 = SUN** or ``SUN``, ``Sunday``, also ``TUES``, ``THURS``; ``?`` is ``*``
year          1970-2100        absent or ``*``: every year, after 2100, too
============  ===============  ===================================================================

A field is a list of ``*``, ``n``, ``a-b``, ``*/s``, ``a/s`` (to the maximum), ``a-b/s``, a name,
``NAME-NAME`` or ``NAME-NAME/s``. Day of month and day of week must both match. One word is a whole
expression: ``@yearly``, ``@monthly``, ``@weekly``, ``@daily``, ``@hourly``.

A set of numbers is held as an integer: bit n says whether n belongs to it. Days are counted from
1 January 1970, in arithmetic of our own: ``datetime`` ends where instants do not.
Source: protocol 2026-04-01, section 5.3.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from msgspec import Struct

from resonate.protocol.limits import CRON_CHARACTERS_MAX

NEVER = 253402300799000  # 9999-12-31T23:59:59Z: the nextRunAt of a schedule that fires no more

_REMEMBERED_CHARACTERS_MAX = 256  # the cache keeps texts that were refused, too: they must be short

_DAY_SECONDS = 86_400
_YEAR_LAST = 9999
_RECURRENCE_YEARS = 40  # any year's calendar comes again by then: 12 years, 28 more about a century

_SHORTHANDS = {
    "@yearly": "0 0 0 1 1 *",
    "@monthly": "0 0 0 1 * *",
    "@weekly": "0 0 0 * * 1",
    "@daily": "0 0 0 * * *",
    "@hourly": "0 0 * * * *",
}
_ITEM = re.compile(
    r"(?:\*|[0-9]+|[0-9]+-[0-9]+|[A-Za-z]+-[A-Za-z]+)(?:/[0-9]+)?|[A-Za-z]+"  # no NAME/s
)


class Cron(Struct, frozen=True):
    """A parsed expression. Expressions that mean the same are equal."""

    seconds: int
    minutes: int  # of the day: 0 to 1439
    days: tuple[int, ...]  # of a month that begins on Sunday, on Monday, ...; its first day is 0
    months: int
    years: int | None  # None: every year


def parse_cron(text: str) -> Cron | None:
    """Return what ``text`` says, or None when it is not valid or can never occur."""
    if len(text) > CRON_CHARACTERS_MAX:
        return None
    return _remembered(text) if len(text) <= _REMEMBERED_CHARACTERS_MAX else _parse(text)


def next_cron(cron: Cron, after: int) -> int | None:
    """Return the first occurrence later than ``after``, or None up to the end of 9999."""
    day, second = divmod(after // 1000 + 1, _DAY_SECONDS)
    time = _time_from(cron, second)
    if time < 0:
        day += 1
    found = _day_from(cron, day)
    if found is None:
        return None
    if time < 0 or found > day:
        time = _time_from(cron, 0)
    return (found * _DAY_SECONDS + time) * 1000


# ---------------------------------------------------------------------------------- parsing


class _Unit(Struct, frozen=True):
    """What one field may say."""

    low: int
    high: int
    names: dict[str, int] = {}
    question: bool = False

    def number(self, text: str) -> int:
        """Return what a number or name stands for; a name that is not known, for nothing valid."""
        return int(text) if text.isdigit() else self.names.get(text.lower(), -1)


def _numbered(names: str) -> dict[str, int]:
    numbered = {}
    for number, name in enumerate(names.split(), 1):
        numbered[name] = numbered[name[:3]] = number
    return numbered


_MONTHS = _numbered(
    "january february march april may june july august september october november december"
)
_WEEKDAYS = _numbered("sunday monday tuesday wednesday thursday friday saturday")
_WEEKDAYS |= {"tues": 3, "thurs": 5}

_UNITS = (
    _Unit(0, 59),
    _Unit(0, 59),
    _Unit(0, 23),
    _Unit(1, 31, question=True),
    _Unit(1, 12, names=_MONTHS),
    _Unit(1, 7, names=_WEEKDAYS, question=True),
    _Unit(1970, 2100),
)


def _parse(text: str) -> Cron | None:
    fields = text.split()
    if len(fields) == 1:
        fields = _SHORTHANDS.get(fields[0], "").split()
    if len(fields) == 5:
        fields.insert(0, "0")
    if len(fields) == 6:
        fields.append("*")
    if len(fields) != 7:
        return None
    sets = [_field(unit, field) for unit, field in zip(_UNITS, fields, strict=True)]
    if 0 in sets:
        return None
    seconds, minutes, hours, days, months, weekdays, years = sets
    weeks = sum(weekdays >> 1 << 7 * week for week in range(6))  # 37 days are enough for any month
    cron = Cron(
        seconds=seconds,
        minutes=sum(minutes << 60 * hour for hour in range(24) if hours >> hour & 1),
        days=tuple(days >> 1 & weeks >> first for first in range(7)),
        months=months,
        years=None if "*" in fields[6].split(",") else years,
    )
    return cron if next_cron(cron, -1) is not None else None


_remembered = lru_cache(maxsize=4096)(_parse)


def _field(unit: _Unit, text: str) -> int:
    """Return the set that a field says, or 0, which no valid field is."""
    if unit.question:
        text = text.replace("?", "*")
    numbers = 0
    for item in set(text.split(",")):  # a set: what is said a hundred times is read once
        found = _item(unit, item)
        if not found:
            return 0
        numbers |= found
    return numbers


def _item(unit: _Unit, text: str) -> int:
    if _ITEM.fullmatch(text) is None:
        return 0
    span, _, step = text.partition("/")
    first, _, last = span.partition("-")
    if first == "*":
        low, high = unit.low, unit.high
    else:
        low = unit.number(first)
        high = unit.number(last) if last else unit.high if step else low
    by = int(step or "1")
    if by == 0 or not unit.low <= low <= high <= unit.high:
        return 0
    return sum(1 << number for number in range(low, high + 1, by))


# --------------------------------------------------------------------------------- searching


def _next(numbers: int, start: int) -> int:
    """Return the smallest member of a set from ``start`` on, or -1."""
    rest = numbers >> start
    return start + (rest & -rest).bit_length() - 1 if rest else -1


def _time_from(cron: Cron, time: int) -> int:
    """Return the first second of the day from ``time`` on, or -1."""
    minute, second = divmod(time, 60)
    if cron.minutes >> minute & 1:
        found = _next(cron.seconds, second)
        if found >= 0:
            return minute * 60 + found
        minute += 1
    minute = _next(cron.minutes, minute)
    return minute * 60 + _next(cron.seconds, 0) if minute >= 0 else -1


def _day_from(cron: Cron, day: int) -> int | None:
    start_year, start_month = _year_and_month(day)
    for year in _years_from(cron, start_year):
        month = _next(cron.months, start_month if year == start_year else 1)
        while month >= 0:
            first = _first_day(year, month)
            length = _first_day(year, month + 1) - first
            days = cron.days[(first + 4) % 7] & (1 << length) - 1  # day 0 was a Thursday
            found = _next(days, max(0, day - first))
            if found >= 0:
                return first + found
            month = _next(cron.months, month + 1)
    return None


def _years_from(cron: Cron, year: int) -> Iterable[int]:
    if cron.years is None:
        return range(year, min(year + _RECURRENCE_YEARS, _YEAR_LAST) + 1)
    unit, years = _UNITS[6], cron.years
    return (year for year in range(max(year, unit.low), unit.high + 1) if years >> year & 1)


def _first_day(year: int, month: int) -> int:
    """Return the first day of a month, also of month 13."""
    if month > 2:
        month -= 3  # a year from March to February has its leap day at the end
    else:
        year, month = year - 1, month + 9
    return 365 * year + year // 4 - year // 100 + year // 400 + (153 * month + 2) // 5 - 719_468


def _year_and_month(day: int) -> tuple[int, int]:
    """Return the year and month of a day: the inverse of ``_first_day``."""
    era, day = divmod(day + 719_468, 146_097)  # 400 years from 1 March of the year 0
    year = (day - day // 1460 + day // 36_524 - day // 146_096) // 365
    month = (5 * (day - 365 * year - year // 4 + year // 100) + 2) // 153
    year += 400 * era
    return (year, month + 3) if month < 10 else (year + 1, month - 9)
