"""The internal steps I1 to I6 of section 3.5, and the two ways in which they are run.

A step returns whether its condition held. ``after_request`` runs what concerns some promises, ``tick``
runs everything, both until no step is enabled.
"""

from __future__ import annotations

from collections.abc import Iterable

from resonate.protocol.cron import NEVER, next_cron, parse_cron
from tests.model.rules import TARGET, expand
from tests.model.world import World, is_external, is_timer, saturated, verdict


class Steps:
    """The internal steps of one server."""

    def __init__(self, world: World, *, strict: bool, retry_timeout: int) -> None:
        self.world = world
        self.strict = strict
        self.retry_timeout = retry_timeout

    # ---------------------------------------------------------------------------- running them

    def after_request(self, promises: Iterable[str], now: int) -> None:
        """I1, I2, I3 and I5 on the promises a request wrote, and on those it woke by that."""
        concerned = list(dict.fromkeys(promises))
        again = True
        while again:
            again = False
            for each in list(concerned):
                again |= self.timeout(each, now)
                again |= self.drain_listeners(each, now)
                woken = self.drain_callbacks(each, now)
                again |= bool(woken)
                concerned += [awaiter for awaiter in woken if awaiter not in concerned]
            for each in concerned:
                again |= self.dispatch(each, now)

    def tick(self, now: int) -> None:
        """All steps on all objects."""
        world = self.world
        again = True
        while again:
            again = False
            for each in sorted(world.promises):
                again |= self.timeout(each, now)
            for each in sorted(world.promises):
                again |= self.drain_listeners(each, now)
                again |= bool(self.drain_callbacks(each, now))
            for each in sorted(world.tasks):
                again |= self.expire(each, now)
            for each in sorted(world.schedules):
                again |= self.fire(each, now)
            for each in sorted(world.tasks):
                again |= self.dispatch(each, now)

    # ------------------------------------------------------------------------------- I1 to I6

    def armed(self, promise_id: str) -> bool:
        """Section 4, row 7: in strict mode an internal promise times out by projection only."""
        promise = self.world.promises[promise_id]
        return promise["state"] == "pending" and (not self.strict or is_external(promise))

    def timeout(self, promise_id: str, now: int) -> bool:
        """I1."""
        promise = self.world.promises.get(promise_id)
        if promise is None or not self.armed(promise_id) or promise["timeoutAt"] > now:
            return False
        self._materialise(promise_id, now)
        return True

    def drain_listeners(self, promise_id: str, now: int) -> bool:
        """I2, for every listener."""
        world = self.world
        view = world.view(promise_id, now)
        if view is None or view["state"] == "pending" or not world.listeners[promise_id]:
            return False
        self._materialise(promise_id, now)
        for address in list(world.listeners[promise_id]):
            world.listeners[promise_id].remove(address)
            world.unblocks[promise_id, address] = dict(world.promises[promise_id])
        return True

    def drain_callbacks(self, promise_id: str, now: int) -> list[str]:
        """I3, for every callback; returns the awaiters."""
        world = self.world
        view = world.view(promise_id, now)
        if view is None or view["state"] == "pending" or not world.callbacks[promise_id]:
            return []
        self._materialise(promise_id, now)
        awaiters = list(world.callbacks[promise_id])
        for awaiter in awaiters:
            world.callbacks[promise_id].remove(awaiter)
            self._resume(promise_id, awaiter, now)
        return awaiters

    def _resume(self, promise_id: str, awaiter: str, now: int) -> None:
        world = self.world
        found = world.tview(awaiter, now)
        if found is None:
            return
        self._materialise(awaiter, now)
        task, _ = found
        if task["state"] == "suspended":
            world.to_pending(awaiter, {**task, "resumes": [promise_id]}, now)
        elif task["state"] != "fulfilled" and promise_id not in task["resumes"]:
            resumes = [*task["resumes"], promise_id]
            world.set_task(awaiter, {**task, "resumes": resumes})

    def expire(self, task_id: str, now: int) -> bool:
        """I4."""
        task = self.world.tasks[task_id]
        if task["state"] != "acquired" or task["expiresAt"] > now or not self._alive(task_id, now):
            return False
        self.world.to_pending(task_id, task, now)
        return True

    def dispatch(self, task_id: str, now: int) -> bool:
        """I5."""
        world = self.world
        task = world.tasks.get(task_id)
        if task is None or task["state"] != "pending" or task["retryAt"] > now:
            return False
        if not self._alive(task_id, now):
            return False
        promise = world.promises[task_id]
        if is_timer(promise["tags"]) and not self.strict:
            world.set_task(task_id, {**task, "retryAt": promise["timeoutAt"]})
            return True
        world.set_task(task_id, {**task, "retryAt": saturated(now + self.retry_timeout)})
        world.executes[task_id] = {
            "address": promise["tags"][TARGET],
            "version": task["version"],
        }
        return True

    def fire(self, schedule_id: str, now: int) -> bool:
        """I6; a schedule whose years are over stays silent (5.3)."""
        world = self.world
        schedule = world.schedules[schedule_id]
        if schedule["nextRunAt"] > now or schedule["nextRunAt"] == NEVER:
            return False
        cron = parse_cron(schedule["cron"])
        assert cron is not None
        firing = schedule["nextRunAt"]
        while firing <= now and firing != NEVER:
            promise_id = expand(schedule["promiseId"], schedule_id, firing)
            if promise_id not in world.promises:
                names = ("origin", "branch", "parent", "prefix")
                tags = {
                    **schedule["promiseTags"],
                    "resonate:schedule": schedule_id,
                    **{f"resonate:{name}": promise_id for name in names},
                }
                request = {
                    "id": promise_id,
                    "timeoutAt": saturated(firing + schedule["promiseTimeout"]),
                    "param": schedule["promiseParam"],
                    "tags": tags,
                }
                world.create(request, firing, strict=self.strict)
            following = next_cron(cron, firing)
            schedule = {
                **schedule,
                "lastRunAt": firing,
                "nextRunAt": NEVER if following is None else following,
            }
            firing = schedule["nextRunAt"]
        world.schedules[schedule_id] = schedule
        return True

    # -------------------------------------------------------------------------------- helpers

    def _alive(self, promise_id: str, now: int) -> bool:
        view = self.world.view(promise_id, now)
        return view is not None and view["state"] == "pending"

    def _materialise(self, promise_id: str, now: int) -> None:
        """Write the projected settlement, if it is not stored yet."""
        promise = self.world.promises[promise_id]
        if promise["state"] == "pending" and promise["timeoutAt"] <= now:
            state = verdict(promise["tags"])
            self.world.settle(promise_id, state, {}, promise["timeoutAt"])
