"""What crosses the wire: records, requests, responses, messages, addresses and their rules.

Pure data and pure functions: nothing here reads a clock, opens a socket or keeps state.
"""

from __future__ import annotations
