"""Which server, and with which credentials: from arguments and environment to a transport."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable

from resonate.sdk import checks
from resonate.sdk.http import HttpTransport
from resonate.sdk.transport import Transport


def remote(
    url: str, poll_url: str | None, token: str | None, auth: tuple[str, str] | None
) -> tuple[Callable[[], Transport], str]:
    """Return how to reach the server at ``url``, its streams at ``poll_url``, and its name."""
    checks.check_auth(auth)
    for each in (url, poll_url):
        if each is not None:
            checks.check_url(each)
    token = token or os.environ.get("RESONATE_TOKEN")
    user = os.environ.get("RESONATE_USERNAME")
    if auth is None and token is None and user:
        auth = (user, os.environ.get("RESONATE_PASSWORD", ""))
    return functools.partial(HttpTransport, url, poll_url, token=token, auth=auth), url


def url_of(host: str | None, port: str | int | None) -> str:
    """Return the URL of host and port, or what the environment says, or the default."""
    if host is None and port is None and (url := os.environ.get("RESONATE_URL")):
        return url
    host = host or os.environ.get("RESONATE_HOST") or "http://localhost"
    port = port or os.environ.get("RESONATE_PORT") or "8001"
    scheme, separator, rest = host.rstrip("/").rpartition("://")
    return f"{scheme or 'http'}{separator or '://'}{rest}:{port}"
