"""Random walks reach every answer that the reference names, in both modes.

``pytest -s`` shows the table of kinds and statuses. ``MODEL_WALKS`` asks for more walks.
"""

from __future__ import annotations

import json
import os
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings

from tests.model.cells import cells, cells_of, lines
from tests.model.model import Model
from tests.model.rules import TARGET
from tests.model.sequences import Walk, sequence
from tests.model.strategies import sequences

WALKS = int(os.environ.get("MODEL_WALKS", "120"))
STEPS = 300


def table(found: Counter) -> str:
    """Lay out how often each kind was answered with each status."""
    counts = Counter()
    for (kind, status, _), count in found.items():
        counts[kind, status] += count
    statuses = sorted({status for _, status in counts})
    rows = [f"{'':28}" + "".join(f"{status:>8}" for status in statuses)]
    for kind in sorted({kind for kind, _ in counts}):
        numbers = "".join(f"{counts[kind, status] or '':>8}" for status in statuses)
        rows.append(f"{kind:28}{numbers}")
    return "\n".join(rows)


@pytest.mark.parametrize("strict", [False, True])
def test_walks_reach_every_answer_that_the_reference_names(strict):
    answered, reached = Counter(), Counter()
    for seed in range(WALKS):
        walk = Walk(seed, strict=strict, lazy=seed % 2 == 0)
        walk.steps(STEPS)
        for kind, status, data in walk.answers:
            answered.update(cells_of(kind, status, data))
        reached.update(walk.model.lines)
    print(f"\n{'strict' if strict else 'lenient'}: {WALKS} walks, seeds from 0\n{table(answered)}")
    assert cells(strict) - answered.keys() == set(), "named by the reference, not reached"
    assert answered.keys() - cells(strict) == set(), "reached, not named by the reference"
    assert lines(strict) - reached.keys() == set(), "lines of section 3.4 that never answered"


def test_a_walk_can_be_repeated_from_its_seed_and_replayed_from_its_bodies():
    steps = sequence(7, STEPS, strict=False)
    assert sequence(7, STEPS, strict=False) == steps
    walk, model = Walk(7, strict=False), Model()
    walk.steps(STEPS)
    for step in steps:
        model.body(step.body, step.now)
    assert model.snap() == walk.model.snap()


def test_time_never_goes_back_in_a_walk():
    for seed in range(10):
        instants = [step.now for step in sequence(seed, STEPS, strict=False)]
        assert instants == sorted(instants), seed


def test_what_the_model_stores_is_json():
    walk = Walk(3, strict=False)
    walk.steps(STEPS)
    snap = walk.model.snap()
    assert json.loads(json.dumps(snap)) == snap


# ------------------------------------------------------------------- what holds in every state


def broken(model: Model) -> list[str]:
    """Return the ids at which a stored row is not as section 9.2 wants it."""
    world, found = model.world, []
    for promise_id, promise in world.promises.items():
        task = world.tasks.get(promise_id)
        settled = promise["state"] != "pending"
        ok = settled == ("settledAt" in promise)
        ok &= settled or promise["value"] == {}
        ok &= (task is not None) == (TARGET in promise["tags"])
        ok &= task is None or settled == (task["state"] == "fulfilled")
        ok &= promise_id not in world.callbacks[promise_id]
        ok &= all(TARGET in world.promises[each]["tags"] for each in world.callbacks[promise_id])
        if not ok:
            found.append(promise_id)
    for task_id, task in world.tasks.items():
        lease = task["state"] == "acquired"
        ok = all((name in task) == lease for name in ("pid", "ttl", "expiresAt"))
        ok &= ("retryAt" in task) == (task["state"] == "pending")
        ok &= task["state"] not in ("suspended", "fulfilled") or task["resumes"] == []
        ok &= len(set(task["resumes"])) == len(task["resumes"])
        ok &= not lease or task["version"] >= 1
        execute = world.executes.get(task_id)
        ok &= execute is None or (task["state"], task["version"]) == ("pending", execute["version"])
        if not ok:
            found.append(task_id)
    return found


def undischarged(model: Model) -> list[str]:
    """Return the settled promises that still hold callbacks or listeners."""
    world = model.world
    return [
        each
        for each, promise in world.promises.items()
        if promise["state"] != "pending" and (world.callbacks[each] or world.listeners[each])
    ]


@pytest.mark.parametrize("strict", [False, True])
def test_what_the_model_stores_is_well_formed(strict):
    for seed in range(10):
        model = Model(strict=strict)
        for number, step in enumerate(sequence(seed, STEPS, strict=strict)):
            model.body(step.body, step.now)
            assert broken(model) == [], (seed, number, step)
            assert undischarged(model) == [], (seed, number, step)


@pytest.mark.parametrize("strict", [False, True])
def test_writing_a_deadline_that_has_passed_changes_no_answer(strict):
    for seed in range(10):
        lazy, eager = Model(strict=strict), Model(strict=strict)
        for number, step in enumerate(sequence(seed, STEPS, strict=strict)):
            for each in eager.world.promises:
                eager.steps.timeout(each, step.now)
            answers = lazy.body(step.body, step.now), eager.body(step.body, step.now)
            if '{"kind": "debug.snap"' not in step.body:  # it shows what is stored
                assert answers[0] == answers[1], (seed, number, step)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(sequences(40, strict=False))
def test_sequences_of_hypothesis_leave_no_obligation_undischarged(steps):
    model = Model()
    for step in steps:
        model.body(step.body, step.now)
    model.tick(max(step.now for step in steps))
    assert broken(model) == undischarged(model) == []
