"""The worker's and the caller's side. Imports ``protocol`` and nothing of the server.

``resonate`` is the public class; ``client`` runs the network on its own thread; ``worker`` and
``execution`` execute.
"""

from __future__ import annotations
