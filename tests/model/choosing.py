"""What random requests are made of: ids, versions, instants, tags, most of them sensible."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

from resonate.protocol.limits import INT64_MAX, TAGS_BYTES_MAX, TAGS_MAX
from tests.model import values
from tests.model.model import Model
from tests.model.rules import TARGET, TIMER

Data = dict[str, Any]
FAR = 10**12


class Choosing:
    """Chooses for one walk: a few ids of its own, so that requests meet."""

    def __init__(self, chooser: random.Random, model: Model) -> None:
        self.random = chooser
        self.model = model
        self.now = 0
        self.ids = chooser.sample(values.IDS, 4) + chooser.sample(values.ODD_IDS, 3)
        self.fresh = 0

    def _chance(self, chance: float) -> bool:
        return self.random.random() < chance

    def _id(self) -> str:
        if self._chance(0.04):
            return self.random.choice(values.BAD_IDS)
        if self._chance(0.2) and self.model.world.promises:
            return self.random.choice(list(self.model.world.promises))
        return self.random.choice(self.ids)

    def _new_id(self) -> str:
        """Return an id to create something under: the few ids of a walk are soon settled."""
        if self._chance(0.5):
            return self._id()
        self.fresh += 1
        return f"{self.random.choice(self.ids)[:9]}{self.random.choice('.:')}{self.fresh}"

    def _among(self, wanted: Iterable[str], chance: float = 0.8) -> str:
        """Return one of what is wanted, if there is any, and not always."""
        found = list(wanted)
        return self.random.choice(found) if found and self._chance(chance) else self._id()

    def _task(self, *states: str) -> str:
        return self._among(self._tasks(*states))

    def _tasks(self, *states: str) -> list[str]:
        found = []
        for task_id in self.model.world.tasks:
            viewed = self.model.world.tview(task_id, self.now)
            assert viewed is not None
            if viewed[0]["state"] in states:
                found.append(task_id)
        return found

    def _promises(self, *states: str) -> list[str]:
        views = (self.model.world.view(each, self.now) for each in self.model.world.promises)
        return [each["id"] for each in views if each is not None and each["state"] in states]

    def _pending(self, task_id: str = "") -> list[str]:
        return [each for each in self._promises("pending") if each != task_id]

    def _version(self, task_id: str) -> int:
        task = self.model.world.tasks.get(task_id)
        version = task["version"] if task else 0
        if self._chance(0.85):
            return version
        return self.random.choice((version - 1, version + 1, 0, -1, INT64_MAX))

    def _ref(self, task_id: str) -> Data:
        return {"id": task_id, "version": self._version(task_id)}

    def _pid(self) -> str:
        if self._chance(0.02):
            return self.random.choice(("", values.BAD_IDS[2]))
        return self.random.choice(values.PIDS)

    def _ttl(self) -> int:
        return self.random.choice((1, 10, 100, 5000, 5000, 60_000, INT64_MAX, self._seldom(0, 10)))

    def _seldom(self, bad: Any, good: Any) -> Any:
        return bad if self._chance(0.3) else good

    def _timeout_at(self) -> int:
        chance = self.random.random()
        if chance < 0.07:
            moved = self.now + self.random.choice((-1, 0, 0, 1))
        elif chance < 0.25:
            moved = self.now + self.random.randint(1, 6000)
        elif chance < 0.97:
            moved = self.now + self.random.choice((10**6, FAR, FAR, FAR))
        else:
            moved = self.random.choice((0, -1, INT64_MAX, 2**53 - 1, 1))
        return min(moved, INT64_MAX)

    def _address(self, good: tuple[str, ...]) -> str:
        if self._chance(0.04):
            return self.random.choice(("", *values.BAD_ADDRESSES))
        return self.random.choice(good)

    def _tags(self, timeout_at: int, *, target: float = 0.5) -> dict[str, str]:
        tags = {}
        if self._chance(target):
            tags[TARGET] = self._address(values.TARGETS)
        if self._chance(0.12):
            tags[TIMER] = self._seldom("TRUE", "true")
        if self._chance(0.3):
            tags["resonate:external"] = self._seldom("1", "true")
        if self._chance(0.12):
            tags["resonate:delay"] = self._delay(timeout_at)
        if self._chance(0.4):
            tags["resonate:branch"] = self.random.choice(values.BRANCHES)
        if self._chance(0.3):
            tags["resonate:parent"] = self.random.choice(self.ids)
        if self._chance(0.3):
            tags["k"] = self.random.choice("vw")
        if self._chance(0.012):
            tags |= {str(number): "" for number in range(TAGS_MAX + 1)}
        elif self._chance(0.012):
            tags["large"] = "é" * (TAGS_BYTES_MAX // 2)
        return tags

    def _delay(self, timeout_at: int) -> str:
        if self._chance(0.2):
            return self.random.choice(("", "-1", "x", "1.0", "+1", " 1", "٣", "9" * 30))
        after = self.random.choice((-1, 0, 1, 500, 5000))
        return self.random.choice((str(self.now + after), f"0{self.now + after}", str(timeout_at)))

    def _optional(self, data: Data, **fields: Any) -> Data:
        """Add fields that may be absent, or null."""
        for name, found in fields.items():
            chance = self.random.random()
            if chance < 0.9:
                data[name] = found
            elif chance < 0.93:
                data[name] = None
        return data
