"""``resonate demo``: a server, three workers, twelve calls and one kill -9, for everyone to see.

``command`` is the verb; ``story`` what happens in which order; ``cast`` the processes; ``worker``
the program of a worker; ``board`` what is known about every call; ``show`` how it is shown.

The demo claims nothing that it did not see: what the board knows comes from lines that the workers
write when a function starts and ends, and from the results that the caller gets.
"""

from __future__ import annotations
