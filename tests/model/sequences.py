"""Random sequences of request bodies, from a seed.

A walk keeps a model at hand, so that most requests have something to do: it names tasks in the state
that a kind wants, at their version, and moves time to instants at which something is due. The rest is
hostile: odd ids, stale versions, numbers beyond int64, missing fields, nulls, broken envelopes.

A step is an instant and a body, so a sequence can be replayed, cut and printed without its walk.
"""

from __future__ import annotations

import json
import random
from typing import Any, NamedTuple

from resonate.protocol.cron import NEVER, next_cron, parse_cron
from resonate.protocol.limits import BATCH_REQUESTS_MAX, INT64_MAX
from tests.model import values
from tests.model.door import DEBUG_TIME, VERSION, names
from tests.model.model import Model
from tests.model.requests import Requests

START = 1_700_000_000_000
STARTS = (START, START, START, 1000, INT64_MAX - 10**6)
FIRINGS_MAX = 15  # occurrences that one step of time may bring
OBJECTS_MAX = 60  # then the world is reset


class Step(NamedTuple):
    """A body sent at an instant."""

    now: int
    body: str

    def show(self) -> str:
        return f"at {self.now}: {self.body if len(self.body) < 2000 else self.body[:2000] + ' …'}"


class Walk:
    """A random walk.

    ``lazy`` walks let deadlines pass unnoticed; the others tick whenever time has moved, so that no
    promise is dead without being stored so, and what a server writes for a read does not show.
    """

    def __init__(self, seed: int | random.Random, *, strict: bool, lazy: bool = True) -> None:
        self.random = seed if isinstance(seed, random.Random) else random.Random(seed)
        self.model = Model(strict=strict)
        self.now = self.random.choice(STARTS)
        self.lazy = lazy
        self.requests = Requests(self.random, self.model)
        self.count = 0
        self.answers: list[tuple[str, int, Any]] = []  # kind, status and data of the model's

    def steps(self, count: int) -> list[Step]:
        found = [self._send(self._debug("debug.start"))]
        while len(found) < count:
            found += self._next()
        return found[:count]

    def _next(self) -> list[Step]:
        if self._move() and not self.lazy:
            return [self._send(self._debug("debug.tick", {"time": self.now}))]
        world = self.model.world
        chance = self.random.random()
        if len(world.promises) > OBJECTS_MAX or chance < 0.002:
            return [self._send(self._debug("debug.reset"))]
        if chance < 0.06:
            return [self._send(self._debug("debug.tick", {"time": self.now}))]
        if chance < 0.07:
            return [self._send(self._odd_debug())]
        if chance < 0.075:
            return [self._raw(self.random.choice(values.BROKEN_BODIES))]
        if chance < 0.13:
            return [self._batch()]
        return [self._send(self._request())]

    # ---------------------------------------------------------------------------- bodies

    def _send(self, envelope: Any) -> Step:
        self._handle(envelope)
        return Step(self.now, json.dumps(envelope, ensure_ascii=False))

    def _handle(self, envelope: Any, *, in_batch: bool = False) -> None:
        status, data = self.model.handle(envelope, self.now, in_batch=in_batch)
        self.requests.learn(status, data)
        self.answers.append((names(envelope)[0], status, data))

    def _batch(self) -> Step:
        envelopes = []
        for _ in range(self.random.choice((1, 2, 3, 5, 8))):
            chance = self.random.random()
            envelope = self._debug("debug.snap") if chance < 0.02 else self._request()
            self._handle(envelope, in_batch=True)
            envelopes.append(envelope)
        return Step(self.now, json.dumps(envelopes, ensure_ascii=False))

    def _raw(self, body: str) -> Step:
        if body == values.LONG_BATCH:
            body = json.dumps([0] * (BATCH_REQUESTS_MAX + 1))
        _, answers = self.model.body(body, self.now)
        for each in answers if isinstance(answers, list) else [answers]:
            self.answers.append((each["kind"], each["head"]["status"], each["data"]))
        return Step(self.now, body)

    def _request(self) -> Any:
        kind, data = self.requests.one(self.now)
        envelope = self._envelope(kind, data)
        chance = self.random.random()
        if chance < 0.07:
            values.mangle(self.random, envelope["data"])
        elif chance < 0.08:
            return values.mangle_envelope(self.random, envelope)
        return envelope

    def _envelope(self, kind: str, data: Any) -> dict[str, Any]:
        self.count += 1
        head: dict[str, Any] = {"corrId": str(self.count), "version": VERSION}
        head[DEBUG_TIME] = self.now
        if self.random.random() < 0.1:
            head |= {"auth": None, "resonate:origin": "x"}
        return {"kind": kind, "head": head, "data": data}

    def _debug(self, kind: str, data: Any = None) -> dict[str, Any]:
        return self._envelope(kind, {} if data is None else data)

    def _odd_debug(self) -> dict[str, Any]:
        chosen = self.random.choice(("snap", "start", "time", "other", "unknown"))
        match chosen:
            case "snap" | "start":
                return self._debug(f"debug.{chosen}")
            case "time":
                return self._debug("debug.tick", self.random.choice(values.BAD_TICKS))
            case "other":
                return self._debug("debug.tick", {"time": self.now + 1})
            case _:
                return self._debug("debug.unknown")

    # ------------------------------------------------------------------------------ time

    def _move(self) -> bool:
        """Move time, or not; tell whether it moved."""
        chance = self.random.random()
        if chance < 0.6:
            return False
        if chance < 0.75:
            to = self.now + 1
        elif chance < 0.85:
            to = self.now + self.random.randint(1, 3000)
        elif chance < 0.97:
            to = self._due() + self.random.choice((-1, 0, 0, 0, 1))
        else:
            to = self.now + self.random.choice((60_000, 3_600_000, 50 * 86_400_000))
        to = min(to, INT64_MAX)
        if to <= self.now or firings(self.model, to) > FIRINGS_MAX:
            return False
        self.now = to
        return True

    def _due(self) -> int:
        """Return an instant at which something becomes due, now if there is none."""
        world = self.model.world
        instants = [each["timeoutAt"] for each in world.promises.values()]
        for task in world.tasks.values():
            instants += [task[name] for name in ("retryAt", "expiresAt") if name in task]
        instants += [each["nextRunAt"] for each in world.schedules.values()]
        later = [each for each in instants if self.now < each < self.now + 10**9]
        if not later:
            return self.now
        return min(later) if self.random.random() < 0.8 else self.random.choice(later)


def firings(model: Model, until: int) -> int:
    """Count what the schedules would fire until an instant, up to one too many."""
    count = 0
    for schedule in model.world.schedules.values():
        cron, instant = parse_cron(schedule["cron"]), schedule["nextRunAt"]
        assert cron is not None
        while instant is not None and instant != NEVER and instant <= until:
            count += 1
            if count > FIRINGS_MAX:
                return count
            instant = next_cron(cron, instant)
    return count


def sequence(seed: int, count: int, *, strict: bool, lazy: bool = True) -> list[Step]:
    """Return the steps of one walk."""
    return Walk(seed, strict=strict, lazy=lazy).steps(count)
