"""The catalogue of section 9.2: these properties there are, under these names, and no others."""

from __future__ import annotations

import pytest

from resonate.core.properties import (
    CONFIG_PROPERTIES,
    INTERNAL_PROPERTIES,
    RECORD_PROPERTIES,
    STATE_PROPERTIES,
    STEP_PROPERTIES,
    STRICT_PROPERTIES,
)


def names(prefix, *rest):
    """Return the names that begin alike."""
    return [f"{prefix}_{each}" for each in rest]


PROMISES = [  # state
    *names(
        "well_formed_promise",
        "created_at_lte_timeout_at",
        "pending_created_before_deadline",
        "settled_at_lte_timeout_at",
        "created_at_lte_settled_at",
        "settled_at_iff_not_pending",
        "pending_has_no_value",
        "deadline_verdict_matches_timer_tag",
        "deadline_settlement_has_no_value",
        "timer_not_targeted",
        "timedout_is_server_owned",
        "callbacks_unique",
        "listeners_unique",
        "obligations_require_external",
        "awaiter_is_not_self",
        "created_at_lte_now",
        "settled_at_lte_now",
    ),
    "well_formed_store_promise_ids_unique",
    "consistent_callback_awaiter_is_targeted",
    "consistent_listener_addresses_deliverable",
]
TASKS = [  # state
    *names(
        "well_formed_task",
        "acquired_iff_has_pid",
        "acquired_iff_has_ttl",
        "acquired_iff_has_expires_at",
        "pending_iff_has_retry_at",
        "fulfilled_is_cleared",
        "suspended_is_cleared",
        "halted_is_cleared",
        "suspended_has_no_resumes",
        "resumes_unique",
        "acquired_version_positive",
    ),
    "well_formed_store_task_ids_unique",
    "consistent_task_iff_targeted_promise",
    "consistent_settled_promise_has_fulfilled_task",
    "consistent_settled_task_promise_settled",
    "consistent_suspended_task_holds_rung",
]
SCHEDULES = [  # state
    *names(
        "well_formed_schedule",
        "promise_tags_not_timer_targeted",
        "created_at_lte_next_run_at",
        "created_at_lte_last_run_at",
        "last_run_at_lt_next_run_at",
    ),
    "well_formed_store_schedule_ids_unique",
]
SCHEDULE_STEPS = ["preserved_schedule_birth_fields_immutable"]
OUTBOX = [  # state
    "well_formed_store_outbox_keys_unique",
    *names(
        "consistent_outbox",
        "execute_names_existing_task",
        "never_ahead",
        "execute_address_is_target_tag",
        "unblock_names_settled_promise",
        "unblock_address_deliverable",
    ),
]
OUTBOX_STEPS = [
    "monotone_outbox_keys_never_disappear",
    "consistent_new_execute_matches_task_and_target",
    "consistent_new_unblock_carries_stored_record",
    "consistent_new_unblock_discharges_its_listener",
]
PROMISE_STEPS = [
    "preserved_promise_birth_fields_immutable",
    "preserved_settled_promise_record",
    "monotone_promise_set_grows",
    "preserved_promise_state_frozen_once_settled",
    "preserved_promise_settlement_is_one_way",
    "consistent_promise_settled_at_moves_with_state",
    "preserved_promise_value_until_settlement",
    "preserved_promise_no_duplicate_ids",
    "monotone_promise_callbacks_grow_while_pending",
    "monotone_promise_listeners_grow_while_pending",
    "monotone_promise_callbacks_shrink_once_settled",
    "monotone_promise_listeners_shrink_once_settled",
    "consistent_promise_state_edge_admissible",
    "consistent_new_promise_born_clean",
]
COUPLING = [
    "consistent_promise_settlement_stamp",
    "preserved_timedout_is_server_owned",
    "consistent_settlement_fulfils_task",
    "consistent_task_fulfilment_needs_settlement",
    "consistent_obligation_discharge_requires_settled",
    "consistent_callback_consumption_resumes_awaiter",
    "consistent_listener_consumption_enqueues_unblock",
    "consistent_wake_follows_callback_consumption",
    "consistent_suspension_registers_callback",
    "consistent_task_birth_couples_promise_birth",
    "preserved_no_dead_dispatch",
    "preserved_execute_only_for_live_task",
]
TASK_STEPS = [
    "monotone_task_set_grows",
    "monotone_task_version_increases_only_on_acquisition",
    "preserved_fulfilled_task",
    "consistent_task_state_edge_admissible",
    "preserved_task_acquisition_only_from_pending",
    "preserved_task_suspension_only_from_acquired",
    "preserved_task_halted_only_reenters_via_pending",
    "consistent_task_birth_state",
    "consistent_task_lease_released_atomically",
    "preserved_task_lease_holder_stable",
    "consistent_task_lease_fields_move_together",
    "monotone_task_resumes_grow_or_clear",
    "consistent_task_resumes_cleared_only_on_dispatch_or_park",
    "consistent_task_acquisition_is_atomic",
    "consistent_task_lease_deadline_is_now_plus_ttl",
    "consistent_task_pending_entry_arms_retry",
    "consistent_task_retry_rearm_only_when_due",
    "monotone_task_retry_rearm_advances",
    "consistent_task_wake_records_resume",
]
INTERNAL_STEPS = [
    "consistent_task_state_edge_internal_admissible",
    "consistent_promise_state_edge_internal_admissible",
]
GAPS = [  # state; the specification does not close them, our door checks do
    "well_formed_task_ttl_positive",
    "well_formed_promise_target_is_nonempty",
    "well_formed_promise_delay_before_deadline",
]
CONFIG = ["well_formed_config_retry_positive"]
RECORDS = [
    "well_formed_promise_record_hides_callbacks",
    "well_formed_promise_record_hides_listeners",
    "well_formed_task_record_hides_deadlines",
    "well_formed_task_record_resumes_is_a_count",
]
STRICT = [  # marked with a dagger
    "well_formed_promise_timer_not_targeted",
    "well_formed_promise_obligations_require_external",
    "well_formed_schedule_promise_tags_not_timer_targeted",
]


@pytest.mark.parametrize(
    ("registry", "groups"),
    [
        (STATE_PROPERTIES, [PROMISES, TASKS, SCHEDULES, OUTBOX, GAPS]),
        (STEP_PROPERTIES, [PROMISE_STEPS, COUPLING, TASK_STEPS, SCHEDULE_STEPS, OUTBOX_STEPS]),
        (INTERNAL_PROPERTIES, [INTERNAL_STEPS]),
        (RECORD_PROPERTIES, [RECORDS]),
        (CONFIG_PROPERTIES, [CONFIG]),
        (STRICT_PROPERTIES, [STRICT]),
    ],
    ids=["state", "step", "internal", "record", "config", "strict"],
)
def test_the_properties_are_those_of_the_specification(registry, groups):
    assert sorted(registry) == sorted(name for group in groups for name in group)


def test_each_is_a_function_of_that_name_and_says_what_it_means():
    named = {**STATE_PROPERTIES, **STEP_PROPERTIES, **INTERNAL_PROPERTIES}
    for name, holds in {**named, **RECORD_PROPERTIES, **CONFIG_PROPERTIES}.items():
        assert holds.__name__ == name
        assert holds.__doc__


def test_none_is_missing():
    catalogue = [PROMISES, TASKS, SCHEDULES, SCHEDULE_STEPS, OUTBOX, OUTBOX_STEPS]
    catalogue += [PROMISE_STEPS, COUPLING, TASK_STEPS]
    assert [len(group) for group in catalogue] == [19, 15, 5, 1, 6, 4, 14, 12, 19]
    assert sum(map(len, catalogue)) == 95
    assert [len(group) for group in (INTERNAL_STEPS, GAPS, CONFIG, RECORDS)] == [2, 3, 1, 4]
