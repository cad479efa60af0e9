"""Push: tasks and unblocks for ``http://`` and ``https://`` addresses.

Rules:
- An address is a member of a group of its own, so that its tasks are dispatched like all others: an
  execute is an offer, and whoever runs behind the address acquires the task by a request.
- A POST that fails, or is answered by anything but 2xx, pauses its address, for a second at first
  and then ever longer; nothing else waits for that. What was to be delivered is delivered later.
- An address exists while it has tasks or unblocks. How many may exist is bounded: the tasks of
  further ones wait in the store, and are looked for when another address has nothing to do.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from resonate.core.objects import Promise, record
from resonate.engine.batches import Step, nothing
from resonate.engine.delivery import Delivery
from resonate.engine.dispatch import Dispatch
from resonate.engine.members import Directory, Member, Terms
from resonate.protocol import messages
from resonate.protocol.addresses import push_group
from resonate.protocol.limits import (
    PUSH_ADDRESSES_MAX,
    PUSH_IDLE_SECONDS,
    PUSH_PAUSE_SECONDS,
    PUSH_POSTS_MAX,
    PUSH_TASKS_MAX,
)

log = logging.getLogger("resonate.engine")


class NotDelivered(Exception):
    """A POST failed; the message says why."""


class Poster(Protocol):
    """Sends a message to a URL."""

    async def post(self, url: str, message: messages.Message) -> None:
        """Return when it was answered with 2xx; raises NotDelivered."""


class Push:
    """All addresses that have something to be delivered.

    ``push`` takes a step, ``nudge`` has a batch made; ``delivery`` knows the promises that an
    address waits to be told of, and is told when it was; ``starved`` is called when there is room
    again for addresses that were refused.
    """

    def __init__(
        self,
        poster: Poster | None,
        directory: Directory,
        dispatch: Dispatch,
        *,
        push: Callable[[Step], None],
        nudge: Callable[[], None],
        delivery: Callable[[], Delivery],
        starved: Callable[[], None],
    ) -> None:
        self.poster = poster
        self.directory = directory
        self.dispatch = dispatch
        self.push = push
        self.nudge = nudge
        self.delivery = delivery
        self._starved = starved
        self._targets: dict[str, Target] = {}
        self._full = False

    def wants(self, route: str) -> None:
        """Have an address: something waits for it."""
        self._target(route)

    def tell(self, promise_id: str, address: str) -> None:
        """Tell an address that a promise is settled, when it is its turn."""
        target = self._target(address)
        if target is not None:
            target.tell(promise_id)

    def clear(self) -> None:
        """Forget everything; what is under way is broken off."""
        targets, self._targets = self._targets, {}
        for target in targets.values():
            target.close()

    async def stop(self) -> None:
        """Forget everything, take nothing new, and return when no POST is under way."""
        self.poster = None
        posts = [post for target in self._targets.values() for post in target.posts]
        self.clear()
        await asyncio.gather(*posts, return_exceptions=True)

    def drop(self, target: Target) -> None:
        """Forget an address that has nothing to do."""
        if self._targets.get(target.url) is target:
            del self._targets[target.url]
            target.close()
            if self._full:
                self._full = False
                self._starved()

    def _target(self, url: str) -> Target | None:
        target = self._targets.get(url)
        if target is not None or self.poster is None:
            return target
        if len(self._targets) >= PUSH_ADDRESSES_MAX:
            self._full = True
            return None
        target = self._targets[url] = Target(url, self, self.poster)
        for promise_id in self.delivery().unblocks.pushed_to(url):
            target.tell(promise_id)
        self.dispatch.joined(target.member)
        return target


class Target:
    """One address. It is the connection of its member."""

    def __init__(self, url: str, owner: Push, poster: Poster) -> None:
        self.url = url
        self._owner = owner
        self._poster = poster
        self._unblocks: OrderedDict[str, None] = OrderedDict()  # not asked for yet
        self._telling: set[str] = set()  # asked for, or on their way
        self._asked = 0  # how many are asked for
        self.posts: dict[asyncio.Task[None], None] = {}
        self._pause = PUSH_PAUSE_SECONDS[0]
        self._holding = False
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self.member = Member(push_group(url), url, Terms(capacity=PUSH_TASKS_MAX), self)
        owner.directory.add(self.member)
        self._wait(PUSH_IDLE_SECONDS, self._look_around)

    def close(self) -> None:
        """Deliver nothing more."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for post in self.posts:
            post.cancel()
        if self.member.open:
            self._owner.directory.remove(self.member)
            self._owner.dispatch.left(self.member, recycled=False)

    # --- executes, as the connection of the member ------------------------------------------------

    def send(self, message: messages.Message) -> bool:
        """Post an offer; False when as many POSTs as may be are under way."""
        if self._closed or self._full:
            return False
        withdraw = functools.partial(self._owner.dispatch.withdrawn, message.data.task.id)
        self._begin(message, failed=withdraw)
        return True

    def end(self) -> None:
        """Deliver nothing more: the server stops."""
        self.close()

    # --- unblocks ---------------------------------------------------------------------------------

    def tell(self, promise_id: str) -> None:
        """Tell of a promise, once however often this is asked for."""
        if promise_id not in self._telling:
            self._unblocks[promise_id] = None
            self._go_on()

    def _load(self, promise_id: str) -> None:
        self._telling.add(promise_id)
        self._asked += 1
        self._owner.push(
            Step(promise_id, nothing, functools.partial(self._tell_loaded, promise_id))
        )

    def _tell_loaded(self, promise_id: str, promise: Promise | None) -> None:
        self._asked -= 1
        if self._closed:
            return
        if promise is None or promise.state == "pending" or self.url not in promise.listeners:
            self._telling.discard(promise_id)
            self._go_on()
            return
        self._begin(
            messages.unblock(record(promise)),
            delivered=functools.partial(self._delivered, promise),
            failed=functools.partial(self._failed, promise.id),
        )

    def _delivered(self, promise: Promise) -> None:
        self._telling.discard(promise.id)
        self._owner.delivery().told(promise, self.url)

    def _failed(self, promise_id: str) -> None:
        self._telling.discard(promise_id)
        self._unblocks[promise_id] = None

    # --- posting ----------------------------------------------------------------------------------

    @property
    def _full(self) -> bool:
        """Tell whether as many POSTs as may be are under way, or about to be."""
        return len(self.posts) + self._asked >= PUSH_POSTS_MAX

    def _begin(
        self,
        message: messages.Message,
        *,
        failed: Callable[[], None],
        delivered: Callable[[], None] = lambda: None,
    ) -> None:
        post = asyncio.get_running_loop().create_task(self._post(message))
        self.posts[post] = None
        post.add_done_callback(functools.partial(self._done, delivered, failed))

    async def _post(self, message: messages.Message) -> None:
        await self._poster.post(self.url, message)

    def _done(
        self, delivered: Callable[[], None], failed: Callable[[], None], post: asyncio.Task[None]
    ) -> None:
        self.posts.pop(post, None)
        if self._closed or post.cancelled():
            return
        problem = post.exception()
        if problem is None:
            self._pause = PUSH_PAUSE_SECONDS[0]
            delivered()
        else:
            self._hold(problem)
            failed()
        self._go_on()

    def _hold(self, problem: BaseException) -> None:
        """Deliver nothing for a while, longer each time."""
        if self._holding:
            return  # this POST began before the pause did
        log.warning("%s: %s; next try in %g s", self.url, problem, self._pause)
        self._holding = self.member.paused = True
        self._owner.directory.place(self.member)
        self._wait(self._pause, self._release)
        self._pause = min(self._pause * 2, PUSH_PAUSE_SECONDS[1])

    def _release(self) -> None:
        self._holding = False
        self._go_on()

    def _go_on(self) -> None:
        """Deliver what can be delivered now."""
        if self._closed or self._holding:
            return
        while self._unblocks and not self._full:
            self._load(self._unblocks.popitem(last=False)[0])
        self.member.paused = self._full
        self._owner.directory.place(self.member)
        self._owner.dispatch.freed(self.member)
        self._owner.nudge()
        self._wait(PUSH_IDLE_SECONDS, self._look_around)

    def _look_around(self) -> None:
        if (
            self.posts
            or self._telling
            or self._unblocks
            or self.member.offers
            or self._owner.dispatch.has_tasks(self.url)
        ):
            self._wait(PUSH_IDLE_SECONDS, self._look_around)
        else:
            self._owner.drop(self)

    def _wait(self, seconds: float, then: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, then)
