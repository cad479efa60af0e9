"""What goes wrong, and when: everything that is random comes from here, from one seed."""

from __future__ import annotations

import hashlib
from random import Random


class Chance:
    """A seeded generator with a digest of all that was drawn and noted.

    ``faulty`` tells whether things go wrong at all: in the end they are healed.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.faulty = True
        self._digest = hashlib.blake2b(digest_size=8)
        style = Random(seed ^ 0x5EED)
        # each run has a character of its own: some are calm, some lose much, some crash often
        self.loss = style.choice((0.0, 0.0, 0.01, 0.05, 0.2))
        self.doubling = style.choice((0.0, 0.01, 0.1))
        self.slowness = style.choice((0.0, 0.0, 0.02, 0.2))
        self.crashing = style.choice((0.0, 0.2, 1.0, 3.0))  # a second, over everything
        self.killing = style.choice((0.0, 0.2, 1.0))
        self.cutting = style.choice((0.0, 0.5, 2.0))
        self.stepping = style.choice((0.0, 0.2))
        self.disk = style.choice((0.0, 0.0, 0.1, 0.5))

    def happens(self, probability: float) -> bool:
        """Draw whether a fault happens."""
        return self.faulty and probability > 0 and self.random.random() < probability

    def delay(self) -> float:
        """Draw how long a message is on its way, in seconds."""
        if self.happens(self.slowness):
            return self.random.choice((0.05, 0.5, 3.0)) * self.random.random()
        return self.random.random() * 0.002

    def pause(self, a_second: float) -> float:
        """Draw how long it takes until something happens that does so often a second."""
        return self.random.expovariate(a_second)

    def note(self, *what: object) -> None:
        """Take note of something that happened: two runs of one seed have the same digest."""
        self._digest.update(repr(what).encode())

    def digest(self) -> str:
        """Return the digest of everything noted so far."""
        return self._digest.hexdigest()
