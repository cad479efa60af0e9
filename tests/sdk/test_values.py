"""Values as JSON and back: every type of the table in ``values``, and what is refused."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import json
import math
import subprocess
import sys
import types
import uuid
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, TypedDict, TypeVar

import attrs
import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resonate.errors import DecodingError, EncodingError
from resonate.sdk import codec, values

T = TypeVar("T")


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Access(enum.Flag):
    READ = 1
    WRITE = 2


class Mixed(enum.Enum):
    NOTHING = None
    HALF = 0.5


class Planet(enum.Enum):
    MARS = (0.6, 3.4)
    EARTH = (6.0, 6.4)


class Rate(float, enum.Enum):
    HALF = 0.5


class Pair(tuple, enum.Enum):  # noqa: SLOT001  # of an Enum
    ONE = (1, 1)


class Switch(enum.Enum):
    ON = True
    OFF = False


class Huge(enum.Enum):
    ONE = 10**30


@dataclasses.dataclass
class Trip:
    to: Planet | None


@dataclasses.dataclass
class Journey:
    trips: list[Trip] = dataclasses.field(default_factory=list)


class StructTrip(msgspec.Struct):
    to: Planet | None = None


@attrs.define
class AttrsTrip:
    to: Planet | None = None


class TupleTrip(NamedTuple):
    to: Planet | None = None


class Point(NamedTuple):
    x: int
    y: float = 0.0


class Note(TypedDict, total=False):
    text: str
    at: dt.datetime


@dataclasses.dataclass
class Line:
    sku: str
    price: decimal.Decimal
    colors: set[Color] = dataclasses.field(default_factory=set)


@dataclasses.dataclass(frozen=True, slots=True)
class Order:
    id: uuid.UUID
    lines: list[Line]
    placed: dt.datetime
    within: dt.timedelta | None = None
    _private: bytes = b""
    parent: Order | None = None


@dataclasses.dataclass
class Box(Generic[T]):
    content: T


class StructBox(msgspec.Struct, Generic[T]):
    content: T


class Event(msgspec.Struct, rename="camel", tag=True, omit_defaults=True):
    at_noon: dt.datetime
    tags: frozenset[str] = frozenset()
    left_out: int | msgspec.UnsetType = msgspec.UNSET
    anything: Any = None


class Card(msgspec.Struct, tag=True):
    number: str


class Cash(msgspec.Struct, tag=True):
    cents: int


@dataclasses.dataclass
class Picky:
    number: int

    def __post_init__(self):
        if self.number == 1:
            raise ValueError("one is too few")
        if self.number == 2:
            raise KeyError("two")


class Text(str):
    __slots__ = ()


class Moment(dt.datetime):
    pass


class DriversId(uuid.UUID):
    pass


class Day(dt.date):
    pass


class Foreign:
    pass


Id = NewType("Id", uuid.UUID)
NOW = dt.datetime(2026, 7, 1, 12, 30, 15, 250_000, tzinfo=dt.UTC)
ORDER = Order(
    uuid.UUID(int=7),
    [Line("a", decimal.Decimal("1.50"), {Color.RED, Color.BLUE}), Line("b", decimal.Decimal(0))],
    NOW,
    dt.timedelta(days=1, seconds=2),
    b"\x00\xff",
    Order(uuid.UUID(int=8), [], NOW),
)


def there_and_back(value, annotation):
    text = values.dump(values.plain(value, "value"))
    return values.convert(json.loads(text), annotation, "value")


@pytest.mark.parametrize(
    ("value", "annotation"),
    [
        (ORDER, Order),
        ([ORDER], list[Order]),
        ({"a": ORDER}, dict[str, Order]),
        (ORDER, Order | None),
        (None, Order | None),
        (ORDER, Annotated[Order, "the order"]),
        (Event(NOW, frozenset({"b", "a"}), 3), Event),
        (Event(NOW), Event),
        (Cash(5), Card | Cash),
        ([Card("x"), Cash(5)], list[Card | Cash]),
        (Point(1, 2.5), Point),
        ({"text": "x", "at": NOW}, Note),
        (Box(Point(1)), Box[Point]),
        (Color.RED, Color),
        ({Color.RED: Level.HIGH}, dict[Color, Level]),
        (Level.HIGH, Level),
        (Access.READ | Access.WRITE, Access),
        ({uuid.UUID(int=1): 1}, dict[uuid.UUID, int]),
        ({dt.date(2026, 1, 2): 1}, dict[dt.date, int]),
        ({NOW: 1}, dict[dt.datetime, int]),
        ((1, "a", b"x"), tuple[int, str, bytes]),
        ((1, 2), tuple[int, ...]),
        ({1, 2}, set[int]),
        (frozenset({(1, "a"), (2, "b")}), frozenset[tuple[int, str]]),
        (bytearray(b"x"), bytearray),
        (uuid.UUID(int=1), Id),
        ("on", Literal["on", "off"]),
        (collections.OrderedDict(b=1, a=2), dict[str, int]),
        (uuid.UUID(int=1), uuid.UUID | str),
        ("no id", uuid.UUID | str),
        (NOW, dt.datetime | dt.date | None),
        (NOW.date(), dt.datetime | dt.date | None),
        (3, float),
        (decimal.Decimal("1E+400"), decimal.Decimal),
        (dt.timedelta.min, dt.timedelta),
        (dt.time(1, 2, 3, 4), dt.time),
    ],
)
def test_what_was_written_comes_back_by_its_annotation(value, annotation):
    found = there_and_back(value, annotation)
    assert found == value
    if annotation is not float and not isinstance(value, dict):
        assert type(found) is type(value)


def fixed(moment):
    """Return it with an offset: in a zone's ambiguous hours Python takes nothing for equal."""
    return moment.replace(tzinfo=dt.timezone(moment.utcoffset()))


# Within these every instant can be said in every time zone.
EARLY, LATE = dt.datetime(2, 1, 1), dt.datetime(9998, 1, 1)  # noqa: DTZ001  # hypothesis wants none
SCALARS = [
    (st.uuids(), uuid.UUID),
    (st.decimals(allow_nan=False), decimal.Decimal),
    (st.datetimes(), dt.datetime),
    (st.datetimes(EARLY, LATE, timezones=st.timezones()).map(fixed), dt.datetime),
    (st.dates(), dt.date),
    (st.times(), dt.time),
    (st.timedeltas(), dt.timedelta),
    (st.binary(), bytes),
    (st.integers(), int),
    (st.floats(allow_nan=False, allow_infinity=False), float),
    (st.sampled_from(Color), Color),
    (st.text(st.characters(exclude_categories=["Cs"])), str),
]


@pytest.mark.parametrize(("strategy", "kind"), SCALARS, ids=range(len(SCALARS)))
def test_any_scalar_comes_back_also_within_others(strategy, kind):
    @given(st.lists(strategy, max_size=3), st.none() | strategy)
    def holds(several, one):
        assert there_and_back(several, list[kind]) == several
        assert there_and_back(tuple(several), tuple[kind, ...]) == tuple(several)
        assert there_and_back({"a": one}, dict[str, kind | None]) == {"a": one}
        assert there_and_back([Box(one)], list[Box[kind | None]]) == [Box(one)]
        assert there_and_back(set(several), set[kind]) == set(several)

    holds()


def test_what_is_written_is_plain_json():
    assert values.plain(ORDER, "value") == {
        "id": "00000000-0000-0000-0000-000000000007",
        "lines": [
            {"sku": "a", "price": "1.50", "colors": ["blue", "red"]},
            {"sku": "b", "price": "0", "colors": []},
        ],
        "placed": "2026-07-01T12:30:15.250000Z",
        "within": "P1DT2S",
        "_private": "AP8=",
        "parent": {
            "id": "00000000-0000-0000-0000-000000000008",
            "lines": [],
            "placed": "2026-07-01T12:30:15.250000Z",
            "within": None,
            "_private": "",
            "parent": None,
        },
    }
    event = Event(NOW, anything=[{3, 1, 2}, Text("x"), Moment(2026, 1, 1)])
    assert values.plain(event, "value") == {
        "type": "Event",
        "atNoon": "2026-07-01T12:30:15.250000Z",
        "anything": [[1, 2, 3], "x", "2026-01-01T00:00:00"],
    }
    others = [DriversId(int=1), Day(2026, 1, 1), Text("x"), Moment(2026, 1, 1)]
    written = ["00000000-0000-0000-0000-000000000001", "2026-01-01", "x", "2026-01-01T00:00:00"]
    assert values.plain(others, "value") == written
    assert values.plain(Event(NOW, anything=others), "value")["anything"] == written


def test_an_offset_with_seconds_is_written_as_the_same_instant():
    odd = dt.datetime(1890, 1, 1, tzinfo=dt.timezone(dt.timedelta(minutes=53, seconds=28)))
    for value in (odd, [odd], Box(odd), Event(odd)):
        text = json.dumps(values.plain(value, "value"))
        assert "1889-12-31T23:06:32Z" in text


def test_a_set_is_written_the_same_in_every_process():
    program = (
        "from dataclasses import dataclass\n"
        "import msgspec\n"
        "from resonate.sdk.values import plain\n"
        "class S(msgspec.Struct):\n    a: object\n"
        "@dataclass\nclass D:\n    a: object\n"
        "many = set(map(str, range(50)))\n"
        "print(plain([many, S(many), D(many), {'b': 1, 'a': 2}, D({'b': 1, 'a': 2})], 'v'))\n"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in "12"
    }
    assert len(found) == 1
    assert found.pop().count("{'b': 1, 'a': 2}") == 2


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Foreign(), "value is of type Foreign, which JSON does not have"),
        (Foreign, "value is of type type, which JSON does not have"),
        (Order, "value is of type type, which JSON does not have"),
        (ValueError("x"), "value is of type ValueError, which JSON does not have"),
        ([{"a": (1, Foreign())}], "value[0]['a'][1] is of type Foreign, which JSON does not have"),
        (Box([Box(Foreign())]), "value.content[0].content is of type Foreign, which JSON does not have"),
        (Box(math.nan), "value.content is nan, which JSON does not have"),
        (Event(NOW, anything=[1, Foreign()]), "value['anything'][1] is of type Foreign, which JSON does not have"),
        (Event(NOW, anything={1: 2}), "value['anything'] has the key 1: keys must be strings"),
        (Event(NOW, anything=math.inf), "value['anything'] is inf, which JSON does not have"),
        (Event(NOW, anything={1, "a", Foreign}), "value['anything']"),
        ({Foreign}, "value{…} is of type type, which JSON does not have"),
        ({"a": {2: 1}}, "value['a'] has the key 2: keys must be strings"),
        ({Level.LOW: 1}, "value has the key <Level.LOW: 1>: keys must be strings"),
        ({None: 1}, "value has the key None: keys must be strings"),
        ({b"x": 1}, "value has the key b'x': keys must be strings"),
        ({frozenset(): 1}, "value has the key frozenset(): keys must be strings"),
        ({Foreign: 1}, f"value has the key {Foreign!r}: keys must be strings"),
        ({Color.RED: 1, "red": 2}, "value['red'] is there twice: two keys have the same text"),
        ({Color.RED: Foreign()}, "value['red'] is of type Foreign, which JSON does not have"),
        (Mixed.HALF, "value is of Enum Mixed, which could not be read: Enums must contain either all str or all int"),
        (Mixed.NOTHING, "value is of Enum Mixed, which could not be read: "),
        (Planet.MARS, "value is of Enum Planet, which could not be read: "),
        (Rate.HALF, "value is of Enum Rate, which could not be read: "),
        (Pair.ONE, "value is of Enum Pair, which could not be read: "),
        ({"a": [Switch.ON]}, "value['a'][0] is of Enum Switch, which could not be read: "),
        (Huge.ONE, "value is of Enum Huge, which could not be read: "),
        ({Planet.MARS: 1}, "value has the key <Planet.MARS: (0.6, 3.4)>: keys must be strings"),
        (Trip(Planet.MARS), "value is of type Trip, which could not be read: Enums must contain either all str or all int"),
        (Trip(None), "value is of type Trip, which could not be read: "),
        (Box(Planet.MARS), "value.content is of Enum Planet, which could not be read: "),
        (StructBox([Planet.MARS]), "value.content[0] is of Enum Planet, which could not be read: "),
        (Journey(), "value is of type Journey, which could not be read: "),
        ([StructTrip()], "value[0] is of type StructTrip, which could not be read: "),
        ([AttrsTrip()], "value[0] is of type AttrsTrip, which could not be read: "),
        (TupleTrip(), "value is of type TupleTrip, which could not be read: "),
        (Box("\ud800"), "value.content is no valid Unicode: it has half a surrogate"),
        (Point("\ud800"), "value[0] is no valid Unicode: it has half a surrogate"),
        (msgspec.UNSET, "value is of type UnsetType, which JSON does not have"),
        (dt.datetime(1, 1, 1, tzinfo=dt.timezone(dt.timedelta(seconds=5))), "value is 0001-01-01 00:00:00+00:00:05, which no UTC time says"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_is_refused_with_its_place(value, text):
    with pytest.raises(EncodingError) as caught:
        values.plain(value, "value")
    assert str(caught.value).startswith(text)


@pytest.mark.parametrize(
    "make", [Box, lambda inner: Event(NOW, anything=inner), lambda inner: [inner]], ids=range(3)
)
def test_what_is_nested_too_deeply_or_in_itself_is_refused(make):
    value = None
    for _ in range(5_000):
        value = make(value)
    box = Box(None)
    box.content = make(box)
    for each in (value, box):
        with pytest.raises(EncodingError, match="value is nested too deeply, or contains itself"):
            values.plain(each, "value")


# --- reading --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "annotation",
    [
        Any,
        object,
        Foreign,
        Foreign | None,
        list[Foreign],
        dict[str, Foreign],
        tuple[int, Foreign],
        collections.abc.Callable[[int], int],
        collections.abc.Iterable[int],
        type,
        complex,
        "Order",
        5,
        list["Nowhere"],  # noqa: F821
        list[uuid.UUID | str],
        uuid.UUID | Foreign,
        Mixed,
        T,
    ],
    ids=repr,
)
@pytest.mark.parametrize("value", [None, {"a": [1]}, "x", [], 5])
def test_an_annotation_that_says_nothing_leaves_json_as_it_is(annotation, value):
    assert values.convert(value, annotation, "value") is value


@pytest.mark.parametrize(
    ("value", "annotation", "text"),
    [
        ("5", int, "value is no int: expected `int`, got `str`"),
        (5.0, int, "value is no int: expected `int`, got `float`"),
        (True, int, "value is no int: expected `int`, got `bool`"),
        (None, int, "value is no int: expected `int`, got `null`"),
        (1, None, "value is no None: expected `null`, got `int`"),
        ("x", uuid.UUID, "value is no UUID: invalid UUID"),
        ("x", Color, "value is no Color: invalid enum value 'x'"),
        ([1, "x"], list[int], "value is no list[int]: expected `int`, got `str` - at `$[1]`"),
        ({"x": 1}, dict[int, int], "value is no dict[int, int]: expected `int`, got `str` - at `key` in `$`"),
        ({"content": {"x": "1"}}, Box[Point], "value is no test_values.Box[test_values.Point]: expected `array`, got `object` - at `$.content`"),
        ({"lines": []}, Order, "value is no Order: object missing required field `id`"),
        ([1], tuple[int, int], "value is no tuple[int, int]: expected `array` of length 2, got 1"),
        (5, uuid.UUID | str, "value is no uuid.UUID | str: none of these fits"),
        ({"sku": "a", "price": "1", "content": 1}, Line | Box[int], "several of these fit"),
        ({"number": 1}, Picky, "value is no Picky: one is too few"),
        ([{"number": 2}], list[Picky], "value is no list[test_values.Picky]: KeyError('two')"),
        ({"\ud800": 1}, dict[int, int], "UnicodeEncodeError"),
        ("\ud800", Color, "value is no Color: UnicodeEncodeError"),
        (10**30, Annotated[int, msgspec.Meta(le=5)], ""),
        ({"type": "Coin"}, Card | Cash, "invalid value 'Coin'"),
    ],
)  # fmt: skip
def test_what_is_not_as_annotated_is_refused_with_its_place(value, annotation, text):
    with pytest.raises(DecodingError) as caught:
        values.convert(value, annotation, "value")
    assert text.replace("test_values.", f"{__name__}.") in str(caught.value)
    assert str(caught.value).startswith("value is no ")


def test_unknown_members_are_passed_over_and_missing_ones_have_their_defaults():
    read = values.convert({"sku": "a", "price": 1.5, "later": True}, Line, "value")
    assert read == Line("a", decimal.Decimal("1.5"), set())


def test_metadata_that_cannot_be_hashed_does_no_harm():
    assert values.convert("1.5", Annotated[decimal.Decimal, []], "value") == decimal.Decimal("1.5")


def test_deep_nesting_is_no_crash():
    deep = {}
    for _ in range(100_000):
        deep = {"content": deep, "id": deep}
    for annotation in (Box[Any], Order, dict[str, Any], list[int], Any):
        try:
            values.convert(deep, annotation, "value")
        except DecodingError:
            continue


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=15,
)
KINDS = [Order, Event, Point, Note, Color, Box[int], dict[uuid.UUID, Line], list[Card | Cash]]
KINDS += [kind for _, kind in SCALARS] + [uuid.UUID | str, Line | Card, Picky, set[list[int]]]


@given(JSON, st.sampled_from(KINDS))
def test_any_json_is_read_or_refused(value, annotation):
    try:
        values.convert(value, annotation, "value")
    except DecodingError as error:
        assert str(error).startswith("value is no ")  # noqa: PT017  # or it is read


# --- pydantic -------------------------------------------------------------------------------------


class FakeModel:
    """As much of a pydantic model as is used."""

    def __init__(self, a):
        self.a = a

    def __eq__(self, other):
        return self.a == other.a

    __hash__ = None

    def model_dump(self, *, mode, by_alias):
        assert (mode, by_alias) == ("json", True)
        if self.a == "broken":
            raise TypeError("no serializer")
        return {"A": self.a}

    @classmethod
    def model_validate_json(cls, text):
        read = json.loads(text)
        if not isinstance(read, dict) or "A" not in read:
            raise ValueError("A: Field required")
        return cls(read["A"])


@pytest.fixture
def fake_pydantic(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydantic", types.SimpleNamespace(BaseModel=FakeModel))
    values._cached_reader.cache_clear()
    yield
    values._cached_reader.cache_clear()


@pytest.mark.parametrize(
    ("wrap", "annotation"),
    [
        (lambda model: model, FakeModel),
        (lambda model: [model], list[FakeModel]),
        (lambda model: {"x": model}, dict[str, FakeModel | None]),
        (Box, Box[FakeModel]),
        (lambda model: Event(NOW, anything=model).anything, FakeModel),
    ],
    ids=range(5),
)
def test_a_model_comes_back_as_its_class(fake_pydantic, wrap, annotation):
    value = wrap(FakeModel([1, "x"]))
    assert there_and_back(value, annotation) == value


def test_a_model_that_does_not_fit_is_refused_with_its_place(fake_pydantic):
    with pytest.raises(DecodingError, match=r"A: Field required - at `\$\[0\]`"):
        values.convert([{}], list[FakeModel], "value")
    with pytest.raises(EncodingError, match=r"value\[0\] cannot be written: no serializer"):
        values.plain([FakeModel("broken")], "value")
    with pytest.raises(EncodingError, match=r"value.* is of type Foreign"):
        values.plain(FakeModel(Foreign()), "value")


def test_without_pydantic_nothing_looks_like_a_model():
    with pytest.raises(EncodingError, match="value is of type FakeModel"):
        values.plain(FakeModel(1), "value")


def test_pydantic_is_never_imported():
    program = (
        "import sys, uuid\n"
        "from resonate.sdk.values import convert, plain\n"
        "class C: pass\n"
        "convert('x', C, 'v'); convert([], list[C | None], 'v'); plain(uuid.uuid4(), 'v')\n"
        "assert 'pydantic' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@attrs.frozen
class Parcel:
    weight: decimal.Decimal
    sent: dt.date | None = None


def test_attrs_classes_come_back():
    parcel = Parcel(decimal.Decimal("1.50"), NOW.date())
    for value, annotation in [
        (parcel, Parcel),
        ([parcel], list[Parcel]),
        (Box(parcel), Box[Parcel]),
    ]:
        assert there_and_back(value, annotation) == value
    with pytest.raises(DecodingError, match="value"):
        values.convert({"weight": "x"}, Parcel, "value")


def test_real_models_come_back():
    class Item(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(strict=True)
        id: uuid.UUID
        at: dt.datetime
        price: decimal.Decimal = pydantic.Field(alias="thePrice")
        tags: frozenset[str] = frozenset()

    item = Item(id=uuid.UUID(int=1), at=NOW, thePrice=decimal.Decimal("1.50"), tags=frozenset("a"))
    for value, annotation in [
        (item, Item),
        ([item], list[Item]),
        (Box(item), Box[Item]),
        (item, Item | None),
        (item, Annotated[Item, pydantic.Field(description="x")]),
        (5, Annotated[int, pydantic.Field(gt=1)]),
    ]:
        assert there_and_back(value, annotation) == value
    with pytest.raises(DecodingError, match=r"value is no .*Item: 1 validation error"):
        values.convert({"id": str(item.id), "at": "x", "thePrice": "1"}, Item, "value")


def test_bytes_of_a_pydantic_model_that_are_no_text_are_refused_with_the_remedy():
    class Refused(pydantic.BaseModel):
        data: bytes

    class Written(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")
        data: bytes

    with pytest.raises(EncodingError, match=r"cannot be written: .*ser_json_bytes='base64'"):
        codec.encode(Refused(data=b"\x89PNG"), "value")
    stored = codec.encode(Written(data=b"\x89PNG"), "value")
    assert values.convert(codec.decode(stored, "p"), Written, "value").data == b"\x89PNG"
