"""A reference model of the server: slow, obvious, written from the protocol's reference alone.

It shares no code with ``resonate.core``. Requests and answers are JSON values; ``now`` is given.

==============  ==============================================================
``door``        checks 1 to 8 of section 1.4: envelope, kind, shape
``rules``       checks 9 to 12: R1 to R27, limits, strict rules
``handlers``    H1 to H21 of section 3.4
``world``       what is stored, projection, building blocks: 3.1 to 3.3
``steps``       the internal steps I1 to I6: 3.5
``searches``    preload and searches: 5.1, 5.2, 8.6
``snapshot``    ``debug.snap``: 5.4
==============  ==============================================================

After each request run the steps that it enables: those on what its handler wrote, and on what they
write in turn. A request that writes nothing enables nothing; a deadline that it saw stays unwritten.
"""

from __future__ import annotations

import copy
import json
from typing import Any

from resonate.protocol.limits import BATCH_REQUESTS_MAX, BODY_BYTES_MAX
from tests.model import door
from tests.model.door import Refused
from tests.model.handlers import Answer, Handlers
from tests.model.rules import check_rules
from tests.model.snapshot import snapshot


class Model(Handlers):
    """One server."""

    def __init__(
        self, *, strict: bool = False, retry_timeout: int = 2000, debug: bool = True
    ) -> None:
        assert retry_timeout > 0
        super().__init__(strict=strict, retry_timeout=retry_timeout)
        self.debug = debug

    def body(self, body: str, now: int) -> tuple[int, Any]:
        """Answer one ``POST /``: the HTTP status, and the envelope or envelopes."""
        if len(body.encode()) > BODY_BYTES_MAX:
            return _whole(413, "Request body too large")
        try:
            found = json.loads(body)
        except ValueError:
            return _whole(400, door.ENVELOPE)
        if not isinstance(found, list):
            status, data = self.handle(found, now)
            return status, response(*door.names(found), status, data)
        if not found:
            return _whole(400, "Batch must not be empty")
        if len(found) > BATCH_REQUESTS_MAX:
            text = f"Batch too large: {len(found)} requests, limit {BATCH_REQUESTS_MAX}"
            return _whole(400, text)
        answers = self.batch(found, now)
        return 200, [
            response(*door.names(each), *answer)
            for each, answer in zip(found, answers, strict=True)
        ]

    def batch(self, envelopes: list[Any], now: int) -> list[Answer]:
        """Section 8.2: in order, at one now; the steps run after each element."""
        return [self.handle(each, now, in_batch=True) for each in envelopes]

    def handle(self, envelope: Any, now: int, *, in_batch: bool = False) -> Answer:
        """Answer one request, with everything that it enables."""
        self.world.written = []
        try:
            door.check_envelope(envelope, debug=self.debug, in_batch=in_batch)
            kind = envelope["kind"]
            data = door.check_shape(kind, copy.deepcopy(envelope["data"]), strict=self.strict)
            if self.debug:
                now = door.check_debug_time(envelope, data, now)
            check_rules(kind, data, now, strict=self.strict)
        except Refused as refused:
            self.lines.append("door")
            return refused.status, refused.text
        self.corr_id = envelope["head"]["corrId"]
        status, answer = copy.deepcopy(getattr(self, kind.replace(".", "_"))(data, now))
        self.steps.after_request(self.world.written, now)
        return status, answer

    def tick(self, now: int) -> None:
        """All enabled internal steps, until none is enabled."""
        self.steps.tick(now)

    def snap(self) -> dict[str, Any]:
        """The stored state as section 5.4 has it."""
        return copy.deepcopy(snapshot(self.world, self.steps))

    # ------------------------------------------------------------------------ 5.4, debug

    def debug_start(self, data: Any, now: int) -> Answer:
        return self.answer("debug", 200, {})

    def debug_stop(self, data: Any, now: int) -> Answer:
        return self.answer("debug", 200, {})

    def debug_reset(self, data: Any, now: int) -> Answer:
        self.reset()
        return self.answer("debug", 200, {})

    def debug_snap(self, data: Any, now: int) -> Answer:
        return self.answer("debug", 200, snapshot(self.world, self.steps))

    def debug_tick(self, data: Any, now: int) -> Answer:
        self.tick(now)
        return self.answer("debug", 200, [])


def response(kind: str, corr_id: str, status: int, data: Any) -> dict[str, Any]:
    """The response envelope of section 1.3."""
    head = {"corrId": corr_id, "status": status, "version": door.VERSION}
    return {"kind": kind, "head": head, "data": data}


def _whole(status: int, text: str) -> tuple[int, Any]:
    """The answer to a body as a whole."""
    return status, response("unknown", "0", status, text)
