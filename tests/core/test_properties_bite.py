"""Every property refuses something: one that holds of everything would prove nothing."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from resonate.core.objects import Task
from resonate.core.properties import (
    CONFIG_PROPERTIES,
    INTERNAL_PROPERTIES,
    RECORD_PROPERTIES,
    STATE_PROPERTIES,
    STEP_PROPERTIES,
    STRICT_PROPERTIES,
    Snapshot,
    StepTaken,
    check_config,
    check_promise_record,
    check_state,
    check_step,
    check_task_record,
)
from resonate.protocol.limits import DELAY_MS_MAX
from tests.core.bad_states import STATES
from tests.core.bad_steps import STEPS as OTHER_STEPS
from tests.core.bad_steps import late_birth
from tests.core.bad_task_steps import INTERNAL_STEPS, TASK_STEPS
from tests.core.examples import (
    ANY,
    NOW,
    TARGET,
    TIMER,
    VALUE,
    acquired,
    becomes,
    fired,
    fires,
    fulfilled,
    halted,
    late,
    move,
    occurrence,
    one,
    pending,
    plain,
    resolved,
    schedule,
    state,
    suspended,
    tasked,
)
from tests.core.world import CALLER

STEPS = {**OTHER_STEPS, **TASK_STEPS}
RECORDS = {
    "well_formed_promise_record_hides_callbacks": [{"id": "p", "callbacks": []}],
    "well_formed_promise_record_hides_listeners": [{"id": "p", "listeners": []}],
    "well_formed_task_record_hides_deadlines": [{"expiresAt": 1}, {"retryAt": None}],
    "well_formed_task_record_resumes_is_a_count": [
        {},
        {"resumes": 2},
        {"resumes": ["q"]},
        {"resumes": True},
    ],
}
woken = tasked(replace(pending, resumes=("q",)))


def examples(table):
    return [
        pytest.param(name, example, id=f"{name}-{number}")
        for name, found in table.items()
        for number, example in enumerate(found)
    ]


def test_what_was_told_is_right_also_when_the_clock_was_stepped_back():
    """While no server ran: who settles then does so at the creation, which is yet to come."""
    told = replace(resolved, created_at=NOW, settled_at=NOW, listeners=(ANY,))
    awaited = replace(plain, created_at=NOW, listeners=(ANY,))
    step = StepTaken(state(awaited), state(told), NOW - 5)
    assert STATE_PROPERTIES["consistent_outbox_unblock_names_settled_promise"](step.after)
    assert STEP_PROPERTIES["consistent_new_unblock_carries_stored_record"](step)


@pytest.mark.parametrize(("name", "example"), examples(STATES))
def test_the_property_refuses_the_state(name, example):
    assert not STATE_PROPERTIES[name](Snapshot(example, NOW))
    with pytest.raises(AssertionError):
        check_state(example, NOW, strict=True)


@pytest.mark.parametrize(("name", "example"), examples(STEPS))
def test_the_property_refuses_the_step(name, example):
    assert not STEP_PROPERTIES[name](StepTaken(*example, NOW))
    with pytest.raises(AssertionError):
        check_step(*example, NOW)


@pytest.mark.parametrize(("name", "example"), examples(INTERNAL_STEPS))
def test_the_property_refuses_the_internal_step(name, example):
    assert not INTERNAL_PROPERTIES[name](StepTaken(*example, NOW))
    with pytest.raises(AssertionError):
        check_step(*example, NOW, internal=True)


@pytest.mark.parametrize(("name", "told"), examples(RECORDS))
def test_the_property_refuses_what_is_told(name, told):
    assert not RECORD_PROPERTIES[name](told, woken)
    check = check_task_record if "_task_" in name else check_promise_record
    with pytest.raises(AssertionError, match=name):
        check({"resumes": 1, **told} if "deadlines" in name else told, woken)


def test_no_task_record_is_told_of_what_has_no_task():
    with pytest.raises(AssertionError, match="well_formed_task_record_resumes_is_a_count"):
        check_task_record({"resumes": 0}, plain)


@pytest.mark.parametrize("retry_timeout", [0, -1])
def test_the_property_refuses_the_limit(retry_timeout):
    assert not CONFIG_PROPERTIES["well_formed_config_retry_positive"](retry_timeout)
    with pytest.raises(AssertionError, match="well_formed_config_retry_positive does not"):
        check_config(retry_timeout)


def test_every_property_has_an_example():
    assert set(STATES) == set(STATE_PROPERTIES)
    assert set(STEPS) == set(STEP_PROPERTIES)
    assert set(INTERNAL_STEPS) == set(INTERNAL_PROPERTIES)
    assert set(RECORDS) == set(RECORD_PROPERTIES)
    assert set(CONFIG_PROPERTIES) == {"well_formed_config_retry_positive"}


def test_the_name_of_what_is_violated_is_told():
    with pytest.raises(AssertionError, match=r"^well_formed_promise_pending_has_no_value does not"):
        check_state(one(value=VALUE), NOW)
    with pytest.raises(AssertionError, match=r"^preserved_promise_value_until_settlement does not"):
        check_step(*becomes(plain, value=VALUE), NOW)


# --- what holds in strict mode only ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        (
            "well_formed_promise_timer_not_targeted",
            state(tasked(halted, replace(plain, tags=TIMER))),
        ),
        ("well_formed_promise_obligations_require_external", one(listeners=(ANY,))),
        (
            "well_formed_schedule_promise_tags_not_timer_targeted",
            state(replace(schedule, promise_tags={**TIMER, **TARGET})),
        ),
    ],
)
def test_a_lenient_server_may_be_in_a_state_that_a_strict_one_never_is_in(name, allowed):
    assert name in STRICT_PROPERTIES
    check_state(allowed, NOW)
    with pytest.raises(AssertionError, match=name):
        check_state(allowed, NOW, strict=True)


def test_in_strict_mode_nobody_asks_for_a_delay():
    released = move(acquired, pending, retry_at=NOW + DELAY_MS_MAX)
    check_step(*released, NOW)
    with pytest.raises(AssertionError, match="consistent_task_pending_entry_arms_retry"):
        check_step(*released, NOW, strict=True)
    check_step(*move(acquired, pending), NOW, strict=True)


# --- each property has its own say ----------------------------------------------------------------

stray = replace(tasked(pending), route="poll://any@other")


def test_a_row_that_leads_to_no_task_is_not_ahead_of_it():
    lost = Snapshot({"p": plain, "q": tasked(pending)}, NOW)
    assert STATE_PROPERTIES["consistent_outbox_never_ahead"](lost)


def test_only_tasks_are_asked_for_the_id_of_a_task():
    assert STATE_PROPERTIES["well_formed_store_task_ids_unique"](Snapshot({"q": plain}, NOW))


def test_a_task_may_be_sent_again_when_it_is_due():
    for name in ("consistent_task_retry_rearm_only_when_due", "monotone_task_retry_rearm_advances"):
        again = move(pending, pending, retry_at=NOW + 1)
        assert STEP_PROPERTIES[name](StepTaken(*again, NOW))


def test_what_was_there_before_is_not_held_against_a_step():
    step = StepTaken(state(stray), state(stray), NOW)
    assert STEP_PROPERTIES["consistent_new_execute_matches_task_and_target"](step)
    assert STEP_PROPERTIES["preserved_execute_only_for_live_task"](step)


# --- what is in order passes ----------------------------------------------------------------------


def test_what_is_in_order_passes():
    good = state(
        replace(plain, id="a", callbacks=("s",), listeners=(ANY, CALLER)),
        replace(resolved, id="b", value=VALUE, listeners=(ANY,)),
        replace(plain, id="d", tags={"resonate:delay": "000"}),
        tasked(suspended, promise_id="s"),
        tasked(pending, promise_id="q"),
        tasked(acquired, promise_id="c"),
        tasked(halted, promise_id="h"),
        tasked(fulfilled, resolved, promise_id="f"),
        schedule,
        replace(fired, id="u"),
    )
    check_state({}, NOW, strict=True)
    check_state(good, NOW)
    check_step({}, {}, NOW, internal=True, strict=True)
    check_step(good, good, NOW, internal=True, strict=True)
    waiting = replace(pending, retry_at=NOW + 1)
    check_step(*move(waiting, waiting), NOW)
    check_config()
    check_config(1)


def test_a_suspended_task_whose_promise_is_dead_needs_nobody_to_wake_it():
    check_state(state(tasked(suspended, replace(plain, timeout_at=NOW, created_at=0))), NOW)


def test_a_schedule_may_run_at_the_instant_of_its_creation():
    check_state(state(replace(schedule, created_at=NOW)), NOW)
    check_state(state(replace(fired, created_at=NOW)), NOW)


def test_the_delay_of_a_schedule_may_be_behind_the_deadline_of_what_it_fires():
    tags = {**occurrence.tags, "resonate:delay": "9" * 5_000}
    check_state(state(replace(occurrence, tags=tags)), NOW)


def test_a_task_and_a_promise_and_a_listener_may_have_names_that_look_alike():
    check_state(
        state(
            tasked(pending, promise_id="p:notify:http://h"),
            replace(resolved, listeners=("http://h",)),
        ),
        NOW,
    )


@pytest.mark.parametrize(
    "step",
    [
        fires(),
        fires(tasked(Task("pending", 0, retry_at=NOW), occurrence, occurrence.id)),
        fires(
            late,
            id=occurrence.id,
            tags=occurrence.tags,
            created_at=NOW,
            settled_at=NOW,
            timeout_at=NOW,
        ),
        late_birth(),
        (state(schedule), state(replace(fired, last_run_at=NOW))),
    ],
)
def test_a_schedule_that_fires_passes(step):
    check_step(*step, NOW, internal=True, strict=True)


def test_a_birth_past_its_own_deadline_is_exempt_only_until_the_end_of_the_commit():
    before, after = late_birth()
    check_step(before, after, NOW, internal=True)
    again = dict(after)  # what is there already and dead is no birth any more
    again["s.0"] = replace(after["s.0"], task=replace(after["s.0"].task, resumes=("x",)))
    check_step(after, again, NOW)
    with pytest.raises(AssertionError, match="preserved_no_dead_dispatch"):
        check_step({**after, "s.0": replace(after["s.0"], task=halted)}, after, NOW)


def test_the_deadline_may_be_written_with_the_delivery_of_one_of_its_messages():
    dying = replace(plain, timeout_at=NOW, created_at=NOW - 1, listeners=(ANY, CALLER))
    dead = replace(dying, state="rejected_timedout", settled_at=NOW, listeners=(CALLER,))
    check_step(state(dying), state(dead), NOW, internal=True)
