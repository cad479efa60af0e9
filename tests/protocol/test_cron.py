"""Cron expressions (section 5.3)."""

from __future__ import annotations

import calendar
import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resonate.protocol import cron as module
from resonate.protocol.cron import NEVER, next_cron, parse_cron

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CYCLE_MS = 146_097 * 86_400_000  # the calendar repeats every 400 years
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


def ms(text):
    return (datetime.fromisoformat(text).replace(tzinfo=UTC) - EPOCH) // timedelta(milliseconds=1)


def iso(instant):
    return (EPOCH + timedelta(milliseconds=instant)).replace(tzinfo=None).isoformat()


def firings(text, after, count):
    """Return the first occurrences later than ``after``, as texts; None ends them."""
    cron, instant, found = parse_cron(text), ms(after), []
    for _ in range(count):
        instant = next_cron(cron, instant)
        if instant is None:
            return [*found, None]
        found.append(iso(instant))
    return found


# ------------------------------------------------------------------------------ the dialect


@pytest.mark.parametrize(
    ("text", "after", "found"),
    [
        ("0 9 * * 1", "2026-04-01", ["2026-04-05T09:00:00", "2026-04-12T09:00:00"]),
        (
            "0 9 * * MON-FRI",
            "2026-04-02T09:00:00",
            ["2026-04-03T09:00:00", "2026-04-06T09:00:00", "2026-04-07T09:00:00"],
        ),
        ("*/10 * * * * *", "2026-04-01T23:59:45", ["2026-04-01T23:59:50", "2026-04-02T00:00:00"]),
        ("0 0 13 * FRI", "2026-01-01", ["2026-02-13T00:00:00", "2026-03-13T00:00:00"]),
        ("* * * * *", "2026-12-31T23:58:01", ["2026-12-31T23:59:00", "2027-01-01T00:00:00"]),
        ("0 9,17 2 * *", "2026-03-01T10:00:00", ["2026-03-02T09:00:00", "2026-03-02T17:00:00"]),
        ("30 4 31 * ?", "2026-01-31T04:30:00", ["2026-03-31T04:30:00", "2026-05-31T04:30:00"]),
        ("5 4 3 2 1 ?", "2026-01-01", ["2026-01-02T03:04:05", "2027-01-02T03:04:05"]),
        ("5 4 3 2 1 ? 2030", "2026-01-01", ["2030-01-02T03:04:05", None]),
        ("@yearly", "2026-01-01", ["2027-01-01T00:00:00", "2028-01-01T00:00:00"]),
        ("@monthly", "2026-01-01", ["2026-02-01T00:00:00", "2026-03-01T00:00:00"]),
        ("@weekly", "2026-01-01", ["2026-01-04T00:00:00", "2026-01-11T00:00:00"]),
        ("@daily", "2026-01-01", ["2026-01-02T00:00:00", "2026-01-03T00:00:00"]),
        ("@hourly", "2026-01-01", ["2026-01-01T01:00:00", "2026-01-01T02:00:00"]),
    ],
)
def test_examples(text, after, found):
    assert firings(text, after, len(found)) == found


def test_sunday_is_1_and_0_is_no_day():
    assert parse_cron("0 0 * * 0") is None
    found = next_cron(parse_cron("0 0 * * 1"), ms("2026-04-01"))
    assert (EPOCH + timedelta(milliseconds=found)).strftime("%A") == "Sunday"


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("0 0 * * *", "0 0 0 * * *"),
        ("0 0 0 * * *", "0 0 0 * * * *"),
        ("  0\t0\n0 \r\n * \x0b * \x0c *  ", "0 0 0 * * *"),
        ("0\u00a00\u20030 * * *", "0 0 0 * * *"),
        (" @daily\n", "0 0 * * *"),
        ("0 0 ? * ?", "0 0 * * *"),
        ("0 0 ?/2 * *", "0 0 1-31/2 * *"),
        ("0 0 ?,3 * 5,?", "0 0 * * *"),
        ("00 007 * * *", "0 7 * * *"),
        ("3,1,2,1 * * * *", "1-3 * * * *"),
        ("5-5 * * * *", "5 * * * *"),
        ("*/99 * * * *", "0 * * * *"),
        ("59/1 * * * *", "59 * * * *"),
        ("50/4 * * * *", "50,54,58 * * * *"),
        ("10-20/5 * * * *", "10,15,20 * * * *"),
        ("10-20/99 * * * *", "10 * * * *"),
        ("*/" + "9" * 600 + " * * * *", "0 * * * *"),
        ("*/" + "0" * 600 + "7 * * * *", "*/7 * * * *"),
        ("0 0 * */12 *", "0 0 * 1 *"),
        ("0 0 * JAN-DECEMBER/3 *", "0 0 * 1,4,7,10 *"),
        ("0 0 * * sun-SATURDAY/2", "0 0 * * 1,3,5,7"),
        ("0 0 * * MON,4,FRI-SAT", "0 0 * * 2,4,6,7"),
        ("0 0 0 * * * 2000,*", "0 0 0 * * * *"),
        ("0 0 0 * * * */1", "0 0 0 * * * 1970-2100"),
        ("0 0 0 * * * 2099/1", "0 0 0 * * * 2099,2100"),
        ("0 0 29-31 * *", "0 0 29,30,31 * *"),
    ],
)
def test_expressions_that_mean_the_same_are_equal(text, same):
    assert parse_cron(text) is not None
    assert parse_cron(text) == parse_cron(same)


@pytest.mark.parametrize("write", [str.upper, str.lower, str.title, str.swapcase])
def test_names_in_any_case(write):
    for number, (full, short) in enumerate(
        zip(calendar.month_name[1:], calendar.month_abbr[1:], strict=True), 1
    ):
        expected = parse_cron(f"0 0 1 {number} *")
        assert parse_cron(f"0 0 1 {write(full)} *") == expected
        assert parse_cron(f"0 0 1 {write(short)} *") == expected
    spellings = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
    spellings += ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]
    for place, name in enumerate(spellings):
        assert parse_cron(f"0 0 * * {write(name)}") == parse_cron(f"0 0 * * {place % 7 + 1}")
    assert parse_cron(f"0 0 * * {write('Tues')}") == parse_cron("0 0 * * 3")
    assert parse_cron(f"0 0 * * {write('Thurs')}") == parse_cron("0 0 * * 5")


NUMBER_FIELDS = [(0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (1, 7), (1970, 2100)]


def in_field(place, item):
    fields = ["*"] * 7
    fields[place] = item
    return " ".join(fields)


@pytest.mark.parametrize(("place", "low", "high"), [(i, *r) for i, r in enumerate(NUMBER_FIELDS)])
def test_a_field_takes_its_minimum_to_its_maximum(place, low, high):
    every = parse_cron(in_field(place, f"{low}-{high}"))
    assert every == parse_cron(in_field(place, ",".join(map(str, range(low, high + 1)))))
    assert every == parse_cron(in_field(place, f"{low}/1"))
    assert parse_cron(in_field(place, f"{high}")) == parse_cron(in_field(place, f"{high}/3"))
    for item in (
        f"{low - 1}",
        f"{high + 1}",
        f"{low}-{high + 1}",
        f"{low - 1}-{high}",
        f"{low - 1}/1",
    ):
        assert parse_cron(in_field(place, item)) is None


BAD_ITEMS = [
    *(",", "2,", ",2", "2,,3", "-", "/", "2-", "-2", "2/", "/2", "*/", "2-3/", "2--3", "2//3"),
    *(
        "3-2",
        "2-3-4",
        "2/3/4",
        "*/0",
        "2/0",
        "2-3/0",
        "2/00",
        "**",
        "*-5",
        "2-*",
        "*2",
        "2*",
        "2-?",
    ),
    *(
        "*/*",
        "2/*",
        "*/-1",
        "*/+1",
        "*/1.0",
        "+2",
        "-1",
        "2.0",
        "0x2",
        "2e0",
        "1_0",
        "2;3",
        "@",
        "#",
    ),
    *("9" * 900, "2-" + "9" * 900, "\u0662", "\uff12", "\u00b2", "2\u0663", "2\x003", "2\u200b"),
    *("L", "W", "2W", "2L", "2#1", "LW", "C", "H", "??", "?*", "~", "\ud800", "2,X", "X,2", "_"),
]


@pytest.mark.parametrize("item", BAD_ITEMS)
@pytest.mark.parametrize("place", range(7))
def test_what_is_not_an_item_is_refused(place, item):
    fields = ["*"] * 7
    fields[place] = item.replace("2", "2000").replace("3", "2003") if place == 6 else item
    assert parse_cron(" ".join(fields)) is None


@pytest.mark.parametrize(
    "text",
    [
        # the number of fields
        "",
        " \n",
        "*",
        "* * * *",
        "* * * * * * * *",
        "60",
        # white space inside a field
        "1, 2 * * * *",
        "1 -2 * * * *",
        "*/ 2 * * * *",
        # ? elsewhere
        "? * * * * *",
        "* ? * * * *",
        "* * ? * * *",
        "* * * * ? *",
        "* * * * * * ?",
        "* * * * * * ?/2",
        # names: steps, mixtures, order, the wrong field, other spellings
        "0 0 * * MON/2",
        "0 0 * JAN/2 *",
        "0 0 * * 1-FRI",
        "0 0 * * MON-6",
        "0 0 * 1-MAR *",
        "0 0 * * FRI-MON",
        "0 0 * DEC-JAN *",
        "0 22-2 * * *",
        "0 0 * * JAN",
        "0 0 * MON *",
        "0 0 MON * *",
        "MON * * * *",
        "0 0 0 * * * JAN",
        "0 0 * * MO",
        "0 0 * * THUR",
        "0 0 * * WEDS",
        "0 0 * * MONDAYS",
        "0 0 * SEPT *",
        "0 0 * * MON.",
        "0 0 * * MON1",
        "0 0 * * 1MON",
        "0 0 * * \u017fun",
        # Quartz that is not in the dialect
        "0 0 L * ?",
        "0 0 LW * ?",
        "0 0 15W * ?",
        "0 0 ? * 6L",
        "0 0 ? * FRI#3",
        "0 0 ? * 6#3",
        # the shorthands are these five, as they are written
        "@annually",
        "@midnight",
        "@reboot",
        "@Daily",
        "@YEARLY",
        "daily",
        "@",
        "@daily @daily",
        "@daily 0 0 * *",
        "@every 5m",
        # anything else
        "TZ=UTC 0 0 * * *",
        "\x00",
        "0 0 * * *\x00",
    ],
)
def test_invalid(text):
    assert parse_cron(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "0 0 30 2 *",
        "0 0 30,31 FEB *",
        "0 0 31 2,4,6,9,11 *",
        "0 0 31 4/7 *",
        "0 0 0 29 2 ? 2001,2002,2003,2100",
        "0 0 0 29 2 SUN 2024",
        "0 0 0 1 1 MON 2026",
    ],
)
def test_what_can_never_occur_is_refused(text):
    assert parse_cron(text) is None


def test_what_lies_in_the_past_is_valid_and_has_no_next_occurrence():
    assert firings("0 0 0 1 1 ? 1970", "2026-01-01", 1) == [None]
    assert firings("0 0 0 1 1 ? 1970", "1969-12-31", 2) == ["1970-01-01T00:00:00", None]


# ------------------------------------------------------------------------- limits and hostility


def test_a_long_text_is_refused():
    assert parse_cron("* * * * *".ljust(1_024)) == parse_cron("* * * * *")
    assert parse_cron("* * * * *".ljust(1_025)) is None
    assert parse_cron("*," * 5_000_000) is None


def test_long_texts_are_not_remembered_and_what_is_remembered_is_bounded():
    held = module._remembered.cache_info
    parse_cron("1 1 1 1 *".ljust(256))
    before = held().currsize
    assert parse_cron("1 1 1 1 *".ljust(257)) == parse_cron("1 1 1 1 *".ljust(256))
    assert parse_cron("x" * 257) is None
    assert held().currsize == before
    assert held().maxsize == 4_096


def seconds_taken(call, *arguments):
    """Return the least of five, so that a busy machine is not mistaken for slow code."""
    taken = []
    for _ in range(5):
        start = time.perf_counter()
        call(*arguments)
        taken.append(time.perf_counter() - start)
    return min(taken)


@pytest.mark.parametrize(
    "text",
    [
        "," * 1_024,
        "*," * 500 + "* * * * *",
        "* * * * * * " + ",".join(f"1970/{n}" for n in range(1, 130)),
        "* * * * * * " + ",".join("*/" + "0" * n + "1" for n in range(40)),
        "0 0 31 2,4,6,9,11 * " + ",".join(map(str, range(1970, 2100))),
        "0 0 0 31 2,4,6,9,11 ? 1970-2100",
        "9" * 1_000 + " * * * *",
        "-" * 1_024,
        "a-" * 512,
        " " * 1_024,
    ],
)
def test_no_text_takes_long_to_parse(text):
    assert seconds_taken(module._parse, text[:1_024]) < 0.02


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("0 0 0 29 2 2", "2092-03-01"),
        ("0 0 0 29 2 ? 1970,2096", "1970-01-01"),
        ("0 0 0 31 12 ? 2100", "1970-01-01"),
        ("59 59 23 31 * SAT", "2026-01-01"),
        ("* * * * * *", "2026-01-01"),
        ("0 0 0 29 2 ?", "9996-03-01"),
    ],
)
def test_no_search_takes_long(text, after):
    assert seconds_taken(next_cron, parse_cron(text), ms(after)) < 0.02


# ------------------------------------------------------------------------------ the calendar


def test_a_leap_day_is_missing_in_2100_and_not_in_2000_and_2400():
    def years(after, count):
        return [int(text[:4]) for text in firings("0 0 29 2 *", after, count)]

    assert years("1892-03-01", 4) == [1896, 1904, 1908, 1912]
    assert years("1992-03-01", 4) == [1996, 2000, 2004, 2008]
    assert years("2092-03-01", 3) == [2096, 2104, 2108]
    assert years("2392-03-01", 3) == [2396, 2400, 2404]


def test_a_leap_day_on_one_weekday_can_be_forty_years_away():
    assert firings("0 0 29 2 FRI", "1880-01-01", 4) == [
        "1884-02-29T00:00:00",
        "1924-02-29T00:00:00",
        "1952-02-29T00:00:00",
        "1980-02-29T00:00:00",
    ]


def test_the_calendar_of_any_year_comes_again_within_the_years_searched():
    kinds = [(calendar.weekday(year, 1, 1), calendar.isleap(year)) for year in range(2000, 2800)]
    gaps = [kinds.index(kinds[n], n + 1) - n for n in range(400)]
    assert max(gaps) == module._RECURRENCE_YEARS


def test_every_first_of_a_month_of_seven_centuries():
    cron, instant = parse_cron("@monthly"), ms("1799-12-31")
    for year in range(1800, 2500):
        for month in range(1, 13):
            instant = next_cron(cron, instant)
            assert instant == calendar.timegm((year, month, 1, 0, 0, 0)) * 1000


def test_the_first_and_the_last_day_of_every_month_belong_to_it():
    for year in range(1970, 2370):
        for month in range(1, 13):
            first = module._first_day(year, month)
            last = module._first_day(year, month + 1) - 1
            assert module._year_and_month(first) == (year, month)
            assert module._year_and_month(last) == (year, month)
            assert last - first + 1 == calendar.monthrange(year, month)[1]


def test_every_day_of_a_leap_year_and_its_neighbours():
    cron, instant = parse_cron("@daily"), ms("1999-01-01")
    for _ in range(365 + 366 + 365):
        following = next_cron(cron, instant)
        assert following == instant + 86_400_000
        instant = following
    assert iso(instant) == "2002-01-01T00:00:00"


def test_a_year_list_ends():
    assert firings("0 0 0 1 1 ? 2030,2027-2028,2100", "2026-06-01", 9) == [
        "2027-01-01T00:00:00",
        "2028-01-01T00:00:00",
        "2030-01-01T00:00:00",
        "2100-01-01T00:00:00",
        None,
    ]
    assert firings("59 59 23 31 12 ? 1970-2100", "2100-12-31T23:59:58", 2) == [
        "2100-12-31T23:59:59",
        None,
    ]


def test_without_a_year_list_there_is_no_end_before_that_of_9999():
    assert firings("@yearly", "2100-06-01", 1) == ["2101-01-01T00:00:00"]
    assert firings("0 0 0 1 1 ? *", "2100-06-01", 1) == ["2101-01-01T00:00:00"]
    assert firings("@yearly", "9998-06-01", 2) == ["9999-01-01T00:00:00", None]
    assert firings("0 0 29 2 *", "9995-01-01", 2) == ["9996-02-29T00:00:00", None]
    second = parse_cron("* * * * * *")
    assert next_cron(second, NEVER - 1_001) == NEVER - 1_000
    assert next_cron(second, NEVER - 1) == NEVER
    assert next_cron(second, NEVER) is None
    assert next_cron(second, INT64_MAX) is None
    assert next_cron(parse_cron("0 0 0 1 1 ? 2000"), INT64_MAX) is None


def test_never_is_the_last_second_of_the_year_9999():
    assert ms("9999-12-31T23:59:59") == NEVER


def test_every_year_means_also_those_before_1970():
    assert firings("@yearly", "1960-06-01", 1) == ["1961-01-01T00:00:00"]
    assert firings("0 0 0 1 1 ? 1970/1", "1960-06-01", 1) == ["1970-01-01T00:00:00"]
    assert next_cron(parse_cron("* * * * * *"), INT64_MIN) == (INT64_MIN // 1000 + 1) * 1000
    assert next_cron(parse_cron("0 0 0 1 1 ? 1970/1"), INT64_MIN) == 0


def test_a_fraction_of_a_second_is_over():
    second = parse_cron("* * * * * *")
    assert [next_cron(second, n) for n in (-1_001, -1_000, -1, 0, 1, 999, 1_000)] == [
        *(-1_000, 0, 0, 1_000, 1_000, 1_000, 2_000),
    ]


# ------------------------------------------------------------------- against a simple oracle
#
# Fields are drawn together with the numbers they mean, so the oracle does not read expressions; it
# walks dates of the standard library one by one.

WEEKDAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]


@st.composite
def items(draw, low, high):
    a, b = sorted((draw(st.integers(low, high)), draw(st.integers(low, high))))
    s = draw(st.sampled_from([1, 2, 3, 5, 7, 30, 1_000]))
    return draw(
        st.sampled_from(
            [
                (f"{a}", {a}),
                (f"{a}", {a}),
                (f"{a}-{b}", set(range(a, b + 1))),
                (f"{a}-{b}/{s}", set(range(a, b + 1, s))),
                (f"{a}/{s}", set(range(a, high + 1, s))),
                (f"*/{s}", set(range(low, high + 1, s))),
            ]
        )
    )


def fields(low, high, every=None):
    if every is None:
        every = set(range(low, high + 1))
    some = st.lists(items(low, high), min_size=1, max_size=3).map(
        lambda found: (",".join(text for text, _ in found), set().union(*(n for _, n in found)))
    )
    return st.just(("*", every)) | some


def named(field):
    text, numbers = field
    return (",".join(WEEKDAYS[n - 1] for n in numbers) if text != "*" else "?", numbers)


EVERY_YEAR = range(1, 10_000)
EXPRESSIONS = st.tuples(
    fields(0, 59),
    fields(0, 59),
    fields(0, 23),
    fields(1, 31) | st.just(("29", {29})) | st.just(("31", {31})),
    fields(1, 12) | st.just(("2", {2})),
    fields(1, 7) | fields(1, 7).map(named),
    st.just(("", EVERY_YEAR)) | fields(1970, 2100, EVERY_YEAR),
)
INSTANTS = st.integers(ms("1960-01-01"), ms("2120-01-01")) | st.integers(
    ms("1600-01-01"), ms("9999-12-31")
)


def days_of(year, months):
    day = datetime(year, 1, 1, tzinfo=UTC)
    for _ in range(366 if calendar.isleap(year) else 365):
        if day.month in months:
            yield day
        if (day.month, day.day) != (12, 31):
            day += timedelta(days=1)


def expected_next(sets, after):
    seconds, minutes, hours, dates, months, weekdays, years = sets
    earliest = EPOCH + timedelta(seconds=after // 1000 + 1)
    for year in [year for year in sorted(years) if year >= earliest.year][:131]:
        for day in days_of(year, months):
            if day.date() < earliest.date() or day.day not in dates:
                continue
            if day.isoweekday() % 7 + 1 not in weekdays:
                continue
            for hour in sorted(hours):
                for minute in sorted(minutes):
                    for second in sorted(seconds):
                        found = day.replace(hour=hour, minute=minute, second=second)
                        if found >= earliest:
                            return (found - EPOCH) // timedelta(milliseconds=1)
    return None


def matches(sets, instant):
    at = EPOCH + timedelta(milliseconds=instant)
    weekday = at.isoweekday() % 7 + 1
    values = (at.second, at.minute, at.hour, at.day, at.month, weekday, at.year)
    return all(value in numbers for value, numbers in zip(values, sets, strict=True))


@settings(max_examples=80, deadline=None)
@given(EXPRESSIONS, st.lists(INSTANTS, min_size=1, max_size=3))
def test_the_next_occurrence_is_what_a_walk_through_the_calendar_finds(expression, instants):
    texts, sets = zip(*expression, strict=True)
    cron = parse_cron(" ".join(texts))
    if cron is None:
        assert expected_next(sets, -1) is None
        return
    for after in instants:
        found = next_cron(cron, after)
        assert found == expected_next(sets, after)
        if found is not None:
            assert found > after
            assert matches(sets, found)
            assert next_cron(cron, found - 1) == found
            between = range((after // 1000 + 1) * 1000, min(found, after + 300_000), 1000)
            assert not any(matches(sets, instant) for instant in between)


@settings(max_examples=60, deadline=None)
@given(EXPRESSIONS, st.integers(INT64_MIN, INT64_MAX))
def test_whatever_the_instant_the_next_is_later_or_none(expression, after):
    cron = parse_cron(" ".join(text for text, _ in expression))
    if cron is not None:
        found = next_cron(cron, after)
        assert found is None or after < found <= NEVER


@settings(max_examples=60, deadline=None)
@given(EXPRESSIONS, INSTANTS, st.integers(1, 700_000))
def test_an_expression_for_every_year_repeats_with_the_calendar(expression, after, cycles):
    cron = parse_cron(" ".join(text for text, _ in expression[:6]))
    found = None if cron is None else next_cron(cron, after)
    if found is not None:
        assert next_cron(cron, after - cycles * CYCLE_MS) == found - cycles * CYCLE_MS


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="*?,-/ 0123456789LW#@SUNMONFRI\u0663\n", max_size=40))
def test_whatever_the_text_parsing_is_total(text):
    cron = parse_cron(text)
    assert cron is None or next_cron(cron, -1) is not None
