"""Where it lies: stores load objects, let a decision be made on them, and commit what it changed.

No rule of the protocol lives here. ``contract`` says what every store promises; one conformance
suite in ``tests/store`` holds all of them to it.
"""

from __future__ import annotations
