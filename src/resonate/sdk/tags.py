"""The tags that every promise is made with: where it stands in its tree, and who settles it."""

from __future__ import annotations

from resonate.protocol.validation import BRANCH, FUNC, ORIGIN, PARENT, TARGET, VERSION
from resonate.sdk.options import address_of, address_of_group

SCOPE = "resonate:scope"


def tree_tags(origin: str, branch: str, parent: str) -> dict[str, str]:
    """Return the tags that say for whom a promise is: the ids of root, task and function."""
    return {ORIGIN: origin, BRANCH: branch, PARENT: parent}


def call_tags(target: str | None, group: str, name: str, version: int) -> dict[str, str]:
    """Return the tags of a call: who executes it, one of ``target`` or else of ``group``, and what.

    By the function the server knows which members to ask (extension ``poll.functions``).
    """
    address = address_of(target) if target else address_of_group(group)
    tags = {SCOPE: "global", TARGET: address, FUNC: name}
    if version != 1:
        tags[VERSION] = str(version)
    return tags
