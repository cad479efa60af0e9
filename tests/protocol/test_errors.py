"""What a client is told of an error."""

from __future__ import annotations

import pytest

from resonate.protocol.errors import Overloaded, told_as


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (Overloaded("wait"), 503, "Service unavailable: wait"),
        (KeyError("x"), 500, "Internal error: KeyError: 'x'"),
    ],
)
def test_every_error_has_a_status_and_a_text(error, status, text):
    told = told_as(error)
    assert (told.status, told.text()) == (status, text)
