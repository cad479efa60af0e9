"""Random histories of requests and internal steps, as Hypothesis strategies."""

from __future__ import annotations

import functools

from hypothesis import strategies as st
from msgspec.structs import replace

from resonate.core import machine, steps
from resonate.core.objects import ScheduleKey
from resonate.core.state import State
from resonate.protocol import requests as rq
from resonate.protocol.validation import BRANCH, DELAY, ORIGIN, PARENT, TARGET, TIMER

HEAD = rq.Head("1", rq.VERSION)
IDS = ["a", "b", "c", "d", "é"]
PIDS = ["p", "q"]
SCHEDULES = ["a", "s"]  # one has the id of a promise
ADDRESSES = ["poll://any@g", "poll://uni@g/p", "https://example.org/hook"]

ids = st.sampled_from(IDS)
NOW = 990  # a history begins here, just before the first whole second
CURRENT = 99  # stands for the version that the task has when the request is carried out
versions = st.sampled_from([CURRENT, CURRENT, CURRENT, 0, 1])
values = st.none() | st.builds(rq.Value, st.none(), st.none() | st.sampled_from(["", "x", "\x00"]))
tags = st.fixed_dictionaries(
    {},
    optional={
        TARGET: st.sampled_from(ADDRESSES),
        TIMER: st.sampled_from(["true", "false"]),
        DELAY: st.sampled_from(["0", "987", "992"]),
        "odd\x00": st.just("\u2028"),
        BRANCH: st.sampled_from(["a", "b", ""]),
        PARENT: st.sampled_from(["a", "b"]),
        ORIGIN: st.sampled_from(["a", "b"]),
    },
)
creates = st.builds(rq.PromiseCreateData, ids, st.integers(NOW + 3, NOW + 50), values, tags)
targeted = creates.map(
    lambda data: rq.PromiseCreateData(
        data.id, data.timeout_at, data.param, {TARGET: ADDRESSES[0], **(data.tags or {})}
    )
)
settles = st.builds(
    rq.PromiseSettleData,
    ids,
    st.sampled_from(["resolved", "rejected", "rejected_canceled"]),
    values,
)
distinct = st.lists(ids, min_size=2, max_size=4, unique=True)


def _suspend(pair, version):
    awaiter, *awaited = pair
    actions = [rq.CallbackAction(rq.RegisterCallbackData(each, awaiter)) for each in awaited]
    return rq.TaskSuspendData(awaiter, version, actions)


def _fulfill(data, version):
    return rq.TaskFulfillData(data.id, version, rq.SettleAction(data))


def _fence(task_id, version, action):
    return rq.TaskFenceData(task_id, version, action)


_refs = st.lists(st.builds(rq.TaskRef, ids, versions), max_size=3)
_by_id = st.builds(rq.IdData, ids)
_pids = st.sampled_from(PIDS)
_ttls = st.integers(1, 15)
_callback = distinct.map(lambda pair: rq.RegisterCallbackData(pair[0], pair[1]))
_inner = st.builds(rq.FenceCreate, creates) | st.builds(rq.FenceSettle, settles)

_DATA = {
    rq.PromiseGet: _by_id,
    rq.PromiseCreate: creates,
    rq.PromiseSettle: settles,
    rq.PromiseRegisterCallback: _callback,
    rq.PromiseRegisterListener: st.builds(rq.RegisterListenerData, ids, st.sampled_from(ADDRESSES)),
    rq.TaskGet: _by_id,
    rq.TaskCreate: st.builds(rq.TaskCreateData, _pids, _ttls, st.builds(rq.CreateAction, targeted)),
    rq.TaskAcquire: st.builds(rq.TaskAcquireData, ids, versions, _pids, _ttls),
    rq.TaskFence: st.builds(_fence, ids, versions, _inner),
    rq.TaskHeartbeat: st.builds(rq.TaskHeartbeatData, _pids, _refs),
    rq.TaskSuspend: st.builds(_suspend, distinct, versions),
    rq.TaskFulfill: st.builds(_fulfill, settles, versions),
    rq.TaskRelease: st.builds(rq.TaskReleaseData, ids, versions, st.none() | st.integers(0, 5)),
    rq.TaskHalt: _by_id,
    rq.TaskContinue: _by_id,
    rq.ScheduleGet: st.builds(rq.IdData, st.sampled_from(SCHEDULES)),
    rq.ScheduleCreate: st.builds(
        rq.ScheduleCreateData,
        st.sampled_from(SCHEDULES),
        st.sampled_from(["* * * * * *", "*/2 * * * * *"]),
        st.sampled_from([*IDS, "{{.id}}"]),
        st.integers(0, 60),
        values,
        tags,
    ),
    rq.ScheduleDelete: st.builds(rq.IdData, st.sampled_from(SCHEDULES)),
}
SEARCHES = {rq.PromiseSearch, rq.TaskSearch, rq.ScheduleSearch}  # scans: no part of a batch
assert set(_DATA) | SEARCHES == set(rq.KINDS.values()), "a kind is missing in the histories"


class Fire(rq.Struct, frozen=True):
    """The occurrences of a schedule that time has brought."""

    id: str


class Advance(rq.Struct, frozen=True):
    """What time brings about for one object, and the drain that may be left."""

    id: str


requests = st.one_of(
    *(st.builds(kind, st.just(HEAD), data) for kind, data in _DATA.items()),
    # the ways that lead somewhere, more often
    st.builds(rq.PromiseCreate, st.just(HEAD), targeted),
    st.builds(rq.TaskAcquire, st.just(HEAD), _DATA[rq.TaskAcquire]),
    st.builds(rq.TaskSuspend, st.just(HEAD), _DATA[rq.TaskSuspend]),
)
actions = requests | st.builds(Advance, ids) | st.builds(Fire, st.sampled_from(SCHEDULES))
_born = [
    rq.PromiseCreate(
        HEAD,
        rq.PromiseCreateData(each, NOW + 30, None, {TARGET: ADDRESSES[0]} if each != "d" else None),
    )
    for each in IDS[:-1]
]
_batch = st.tuples(st.lists(actions, min_size=1, max_size=6), st.sampled_from([0, 0, 1, 3, 12]))
batches = st.lists(_batch, min_size=1, max_size=25).map(lambda found: [(_born, 0), *found])
"""Batches, each with how long after the one before it is carried out."""


def reads(batch):
    return [each for action in batch for each in _reads(action)]


def _reads(action):
    if isinstance(action, Advance):
        return (action.id,)
    if isinstance(action, Fire):
        return (ScheduleKey(action.id), *IDS, *SCHEDULES)
    return machine.reads(action)


def _with_version(action, state):
    if getattr(action.data, "version", None) != CURRENT:
        return action
    stored = state.stored(action.data.id)
    version = 0 if stored is None or stored.task is None else stored.task.version
    return replace(action, data=replace(action.data, version=version))


def carry_out(batch, now, answers, objects):
    """Decide a batch as the engine does; the answers are appended to ``answers``."""
    state = State(objects, now)
    for action in batch:
        if isinstance(action, Advance):
            for take in (steps.advance, functools.partial(steps.drain, limit=9)):
                machine.step(state, action.id, functools.partial(take, state, action.id))
        elif isinstance(action, Fire):
            take = functools.partial(steps.fire, state, action.id, 3)
            machine.step(state, ScheduleKey(action.id), take)
        else:
            answers.append(machine.handle(_with_version(action, state), state))
    return list(state.before)


def drain(now, objects):
    """Wake everybody who still has to be woken."""
    state = State(objects, now)
    for each in IDS:
        machine.step(state, each, functools.partial(steps.drain, state, each, 9))
    return list(state.before)
