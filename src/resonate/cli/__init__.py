"""The command ``resonate``: one module for each verb.

``main`` puts them together; ``serving`` is what ``serve`` and ``dev`` share. Every verb and option
has its place in ``docs/reference/cli.md``; ``tests/test_docs.py`` holds that.
"""

from __future__ import annotations
