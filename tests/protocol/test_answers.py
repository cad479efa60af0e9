"""How large an answer is, for the bound on the answers to a batch."""

from __future__ import annotations

import pytest

from resonate.protocol import answers
from resonate.protocol.answers import Answer, Response, ResponseHead, size
from resonate.protocol.records import EMPTY, PromiseRecord, ScheduleRecord, TaskRecord, Value

LARGE = "x" * 10_000
PLAIN = PromiseRecord("p", "pending", EMPTY, EMPTY, {}, 1, 0)
PROMISES = {
    "data": PromiseRecord("p", "pending", Value(data=LARGE), EMPTY, {}, 1, 0),
    "headers": PromiseRecord("p", "pending", EMPTY, Value(headers={"h": LARGE}), {}, 1, 0),
    "tags": PromiseRecord("p", "pending", EMPTY, EMPTY, {LARGE: "t"}, 1, 0),
}
SCHEDULES = {
    "param": ScheduleRecord("s", "* * * * *", "p", 1, Value(data=LARGE), {}, 0, 1),
    "headers": ScheduleRecord("s", "* * * * *", "p", 1, Value(headers={LARGE: ""}), {}, 0, 1),
    "tags": ScheduleRecord("s", "* * * * *", "p", 1, EMPTY, {"t": LARGE}, 0, 1),
    "template": ScheduleRecord("s", "* * * * *", LARGE, 1, EMPTY, {}, 0, 1),
    "cron": ScheduleRecord("s", LARGE, "p", 1, EMPTY, {}, 0, 1),
}
TASK = TaskRecord("t", "acquired", 1, 0, 1, "pid")


def fenced(data):
    return answers.FenceAnswer(Response("promise.create", ResponseHead("1", 200), data), [])


@pytest.mark.parametrize("large", PROMISES.values(), ids=PROMISES)
@pytest.mark.parametrize(
    "answer",
    [
        answers.PromiseAnswer,
        lambda large: answers.LeaseAnswer(TASK, large, []),
        lambda large: answers.LeaseAnswer(TASK, PLAIN, [PLAIN, large]),
        lambda large: answers.PreloadAnswer([large]),
        lambda large: answers.PromisesAnswer([PLAIN, large]),
        lambda large: fenced(answers.PromiseAnswer(large)),
    ],
    ids=["promise", "lease", "lease_preload", "preload", "search", "fence"],
)
def test_all_of_a_promise_counts_wherever_it_stands(answer, large):
    assert 10_000 <= size(Answer(200, answer(large))) < 10_200


@pytest.mark.parametrize("large", SCHEDULES.values(), ids=SCHEDULES)
@pytest.mark.parametrize(
    "answer", [answers.ScheduleAnswer, lambda large: answers.SchedulesAnswer([large])]
)
def test_all_of_a_schedule_counts(answer, large):
    assert 10_000 <= size(Answer(200, answer(large))) < 10_200


def test_tasks_count_with_their_ids():
    large = TaskRecord(LARGE, "acquired", 1, 0, 1, LARGE)
    assert 20_000 <= size(Answer(200, answers.TasksAnswer([TASK, large]))) < 20_200


@pytest.mark.parametrize("data", [answers.NOTHING, "Promise not found", answers.HeartbeatAnswer()])
def test_what_holds_no_records_counts_nothing(data):
    assert size(Answer(200, data)) == 0
