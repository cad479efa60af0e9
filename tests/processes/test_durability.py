"""What the server acknowledged is there after ``kill -9``, unchanged if it was settled.

Raw clients write at random, each over a connection of its own. For each acknowledged answer they
keep what it promises for ever: the promise as it was made, how it was settled, the version of the
task. After each restart all of it is compared with what the server says.
"""

from __future__ import annotations

import base64
import http.client
import itertools
import json
import random
import threading
import time

import pytest

FAR = 2**53
CLIENTS = 8
IDS = 400


class Ledger:
    """What was acknowledged. Each client has the ids it writes to itself: it knows their order."""

    def __init__(self):
        self.made = {}
        self.settled = {}
        self.versions = {}
        self.acknowledged = 0

    def note(self, request, answer):
        self.acknowledged += 1
        data = answer["data"]
        if answer["head"]["status"] != 200:
            return
        if "action" in data:
            data = data["action"]["data"]
        promise, task = data.get("promise"), data.get("task")
        if promise is not None:
            self.note_promise(promise)
        if task is not None:
            known = self.versions.get(task["id"], 0)
            assert task["version"] >= known, (task, known)
            self.versions[task["id"]] = task["version"]

    def note_promise(self, promise):
        id = promise["id"]
        made = {key: promise[key] for key in ("id", "param", "tags", "timeoutAt", "createdAt")}
        assert self.made.setdefault(id, made) == made
        if promise["state"] != "pending":
            ended = {key: promise[key] for key in ("state", "value", "settledAt")}
            assert self.settled.setdefault(id, ended) == ended
        else:
            assert id not in self.settled, f"{id} was settled and is pending again"


class Client:
    """One raw client: it writes until the connection breaks."""

    def __init__(self, number, seed):
        self.number = number
        self.chance = random.Random(f"{seed}.{number}")
        self.ledger = Ledger()
        self.ids = [f"d{number}.{each}" for each in range(IDS // CLIENTS)]
        self.corr = itertools.count(1)
        self.failure = None

    def write(self, port):
        """Write at random until the server is gone."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            while True:
                size = self.chance.choice([1, 1, 1, 4, 20])
                self.exchange(connection, [self.request() for _ in range(size)])
        except (OSError, http.client.HTTPException):
            pass
        except BaseException as error:
            self.failure = error
            raise
        finally:
            connection.close()

    def exchange(self, connection, requests):
        for pair in zip(requests, self.post(connection, requests), strict=True):
            self.ledger.note(*pair)

    def post(self, connection, requests):
        body = json.dumps(requests if len(requests) > 1 else requests[0])
        connection.request("POST", "/", body, {"content-type": "application/json"})
        with connection.getresponse() as response:
            answer = json.loads(response.read())
        return answer if isinstance(answer, list) else [answer]

    def request(self):
        chance = self.chance
        id = chance.choice(self.ids)
        if chance.random() < 0.1:  # keep something to write to
            self.ids[self.ids.index(id)] = id = f"d{self.number}.{next(self.corr)}x"
        version = self.ledger.versions.get(id, 0)
        ref = {"id": id, "version": version}
        kind = chance.choice(
            ["promise.create"] * 3
            + ["promise.settle", "task.create", "task.acquire", "task.fulfill"] * 2
            + [
                "task.release",
                "task.heartbeat",
                "task.halt",
                "task.continue",
                "task.fence",
                "promise.get",
            ]
        )
        match kind:
            case "promise.create":
                data = self.new(id)
            case "promise.settle":
                data = self.settlement(id)
            case "task.create":
                data = {"pid": "p", "ttl": 3_600_000, "action": {"data": self.new(id, task=True)}}
            case "task.acquire":
                data = {**ref, "pid": "p", "ttl": 3_600_000}
            case "task.fulfill":
                data = {**ref, "action": {"data": self.settlement(id)}}
            case "task.release":
                data = ref
            case "task.heartbeat":
                data = {"pid": "p", "tasks": [ref]}
            case "task.fence":
                other = chance.choice([each for each in self.ids if each != id])
                data = {
                    **ref,
                    "action": {"kind": "promise.create", "head": {}, "data": self.new(other)},
                }
            case _:
                data = {"id": id}
        return self.envelope(kind, data)

    def envelope(self, kind, data):
        head = {"corrId": str(next(self.corr)), "version": "2026-04-01"}
        return {"kind": kind, "head": head, "data": data}

    def new(self, id, *, task=False):
        tags = {"k": str(self.chance.random())}
        if task or self.chance.random() < 0.7:
            tags["resonate:target"] = "poll://any@nobody"
        return {"id": id, "timeoutAt": FAR, "param": {"data": self.data()}, "tags": tags}

    def settlement(self, id):
        state = self.chance.choice(["resolved", "rejected", "rejected_canceled"])
        return {"id": id, "state": state, "value": {"data": self.data()}}

    def data(self):
        return base64.b64encode(self.chance.randbytes(self.chance.choice([4, 40, 400]))).decode()

    def check(self, port):
        """Hold that everything acknowledged is there."""
        ledger = self.ledger
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        gets = [self.envelope("promise.get", {"id": id}) for id in ledger.made]
        gets += [self.envelope("task.get", {"id": id}) for id in ledger.versions]
        before = ledger.acknowledged
        for start in range(0, len(gets), 500):
            part = gets[start : start + 500]
            answers = self.post(connection, part)
            for request, answer in zip(part, answers, strict=True):
                assert answer["head"]["status"] == 200, (request, answer)
                ledger.note(request, answer)
        connection.close()
        ledger.acknowledged = before


def kill_and_account(children, rounds):
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    server = children.server()
    port = int(server.url.rpartition(":")[2])
    clients = [Client(number, seed) for number in range(CLIENTS)]
    for _ in range(rounds):
        threads = [threading.Thread(target=client.write, args=(port,)) for client in clients]
        for thread in threads:
            thread.start()
        time.sleep(chance.uniform(0.02, 0.4))
        server.kill()
        for thread in threads:
            thread.join(15)
            assert not thread.is_alive()
        assert [client.failure for client in clients if client.failure] == []
        server.start()
        for client in clients:
            client.check(port)
    total = sum(client.ledger.acknowledged for client in clients)
    settled = sum(len(client.ledger.settled) for client in clients)
    promises = sum(len(client.ledger.made) for client in clients)
    print(
        f"{rounds} kills, {total} acknowledged, {promises} promises, {settled} settled: all there"
    )
    assert total > rounds * 100
    assert settled > rounds
    assert server.terminate() == 0


def test_nothing_acknowledged_is_lost_when_the_server_is_killed(children):
    kill_and_account(children, 3)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_nothing_acknowledged_is_lost_in_fifty_kills(children):
    kill_and_account(children, 50)
