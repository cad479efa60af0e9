"""The tags that every promise is made with: where it stands in its tree, and who settles it."""

from __future__ import annotations

from resonate.protocol.validation import BRANCH, ORIGIN, PARENT, TARGET
from resonate.sdk.options import address_of, address_of_group

SCOPE = "resonate:scope"


def tree_tags(origin: str, branch: str, parent: str) -> dict[str, str]:
    """Return the tags that say for whom a promise is: the ids of root, task and function."""
    return {ORIGIN: origin, BRANCH: branch, PARENT: parent}


def global_tags(target: str | None, group: str) -> dict[str, str]:
    """Return the tags of a promise that a worker settles: one of ``target``, else of ``group``."""
    address = address_of(target) if target else address_of_group(group)
    return {SCOPE: "global", TARGET: address}
