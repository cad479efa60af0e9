"""How it is reached: HTTP. The two hot routes are taken before ASGI, the rest is Starlette.

``server`` puts it together; ``hot`` is the protocol class under uvicorn; ``exchange`` answers
``POST /``; ``stream`` is ``GET /poll/{group}/{id}``; ``app`` has all other routes.
"""

from __future__ import annotations
