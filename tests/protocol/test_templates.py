"""Templates: the ids of the promises that a schedule fires (section 5.3)."""

from __future__ import annotations

import pytest

from resonate.protocol.templates import expand


@pytest.mark.parametrize(
    ("template", "expanded"),
    [
        ("{{.id}}-{{.timestamp}}", "sch-1500"),
        ("{{.id}}.{{.timestamp}}", "sch.1500"),
        ("{{.timestamp}}", "1500"),
        ("{{.id}}{{.id}}/{{.timestamp}}{{.timestamp}}", "schsch/15001500"),
        ("plain", "plain"),
        (
            "{{.ID}} {{ .id }} {{id}} {.id} {{.id} {{.time}}",
            "{{.ID}} {{ .id }} {{id}} {.id} {{.id} {{.time}}",
        ),
        ("{{{.id}}}", "{sch}"),
        ("{{.{{.id}}}}", "{{.sch}}"),
    ],
)
def test_id_and_timestamp_are_replaced_wherever_they_stand_and_nothing_else(template, expanded):
    assert expand(template, "sch", 1_500) == expanded


def test_the_id_comes_first_and_may_bring_in_a_timestamp():
    assert expand("{{.id}}", "x{{.timestamp}}", 7) == "x7"
    assert expand("{{.{{.timestamp}}id}}", "x", 7) == "{{.7id}}"
    assert expand("{{.id}}", "{{.id}}", 7) == "{{.id}}", "what is replaced is not looked at again"
