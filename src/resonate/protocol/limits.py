"""Every limit of the server, in one place, each with its unit in its name.

Hitting a limit always has a documented answer, named beside it. The file stands in ``protocol``
because request validation needs some of the numbers and imports point one way.
"""

from __future__ import annotations

# Wire: answered by the gateway or by validation.
BODY_BYTES_MAX = 4 * 1024 * 1024  # 413 Request body too large
BATCH_REQUESTS_MAX = 1_000  # 400 Batch too large
ID_BYTES_MAX = 4_096  # of an id or pid; 400 Invalid request: id too long
TAGS_MAX = 256  # 400 Invalid request: too many tags
TAGS_BYTES_MAX = 64 * 1024  # 400 Invalid request: tags too large
CRON_CHARACTERS_MAX = 1_024  # 400 Invalid cron expression
DELAY_MS_MAX = 86_400_000  # 400 Delay must not exceed 86400000
SEARCH_LIMIT_MAX = 1_000  # 400 Invalid 'limit' — must be between 1 and 1000
SEARCH_LIMIT = 100  # objects on a page of promises or tasks when none is asked for
SEARCH_BYTES_MAX = 16 * 1024 * 1024  # of a page; what does not fit is behind its cursor
ANSWER_BYTES_MAX = (
    32 * 1024 * 1024
)  # of a batch; further requests are answered 503, not carried out
SCHEDULE_SEARCH_LIMIT = 10  # the same for schedules
PRELOAD_RECORDS_MAX = 1_000  # the rest of a branch is left to the client to ask for
PRELOAD_BYTES_MAX = 1024 * 1024  # the same, of their values together, about
INT64_MAX = 2**63 - 1  # sums saturate here
INT64_MIN = -(2**63)

# Connections.
CONNECTIONS_MAX = 10_000  # 503 Poll registration at capacity
CAPACITY_MAX = 10_000  # 400 Invalid query parameter: capacity
CAPACITY_DEFAULT = 64  # credits of a connection that declares none
HEADER_BYTES_MAX = 64 * 1024  # 431, connection closed
REQUEST_SECONDS_MAX = 30  # a request must arrive whole in this time, or the connection is closed
IDLE_SECONDS_MAX = 75  # a connection without requests is closed after this time
UNSENT_BYTES_MAX = 256 * 1024  # a connection that does not read is given nothing more
REFUSED_BYTES_MAX = 16 * 1024 * 1024  # of a refused body read, so that the answer arrives
PENDING_BYTES_MAX = 256 * 1024 * 1024  # 503, bodies of waiting requests together
SWEEP_SECONDS = 5  # how often slow and idle connections are looked for
KEEPALIVE_SECONDS = 15  # comment on a silent event stream
RECYCLE_SECONDS = (200, 280)  # age at which a stream of a foreign client is ended cleanly

# Engine.
PENDING_REQUESTS_MAX = 10_000  # 503 Service unavailable: too many requests, with Retry-After
STEP_OBJECTS_MAX = 1_000  # internal steps taken in one batch; the rest follows in the next
OCCURRENCES_MAX = 250  # of one schedule fired in one step; the rest follows in the next
SEARCHES_MAX = 100  # waiting searches; 503 Service unavailable: too many searches
OFFER_MS = 2_000  # an offer unanswered for this long goes to another member
OFFER_REPEAT_MS = (30_000, 300_000)  # repeated to the same connection: first, longest interval
UNANSWERED_OFFERS_MAX = 3  # in a row by a member that heartbeats: its stream is ended
GRACE_MS = 1_000  # a lost presence connection may come back within this time
RECYCLE_HOLD_MS = 5_000  # a connection that the server ended is waited for this long
RELEASE_BACKOFF_MS = (0, 100, 500, 2_000, 10_000, 30_000)  # by number of rests of a task
TIMER_HORIZON_MS = 10_000  # timers due within this time are kept in memory
TIMER_ENTRIES_MAX = 50_000  # timers loaded at once
TIMER_NAP_MS_MAX = 1_000  # the wall clock is looked at this often: it may step forward
FUNCTION_QUEUES_MAX = 1_000  # functions of a group whose tasks are in memory; others wait
RESTING_MAX = 100_000  # tasks that nobody took and that rest; beyond, the oldest rests no more
QUEUE_TASKS_MAX = 10_000  # ready tasks of one route kept in memory; the rest waits in the store
PUSH_ADDRESSES_MAX = 10_000  # HTTP addresses delivered to at a time; further ones wait
PUSH_TASKS_MAX = 64  # tasks offered to one HTTP address and not acquired yet
PUSH_POSTS_MAX = 16  # POSTs under way to one HTTP address
PUSH_CONNECTIONS_MAX = 1_024  # connections to all HTTP addresses together
PUSH_CONNECT_SECONDS_MAX = 10  # to connect to an HTTP address
PUSH_SECONDS_MAX = 180  # for its answer: it may come only after the whole execution
PUSH_PAUSE_SECONDS = (1.0, 60.0)  # after a POST that failed: first, longest
PUSH_IDLE_SECONDS = 30.0  # an HTTP address with nothing to do is forgotten after this time
RETENTION_PAGE = 1_000  # promises looked through together for what may be deleted
RETENTION_REST_SECONDS = 600  # between two walks over all promises
UNBLOCKS_MAX = 100_000  # undelivered unblocks kept in memory; the rest waits for registration
UNBLOCK_MS_MAX = 86_400_000  # an unblock that nobody fetched is dropped after this time

# Store.
CACHE_OBJECTS_MAX = 20_000  # recent objects kept in memory
CACHE_BYTES_MAX = 64 * 1024 * 1024  # their values together, about
