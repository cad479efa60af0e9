-- A promise and its task are one row: most transitions touch exactly one.
-- The columns stand in the order of the fields of core.objects.Promise and Task.
-- JSON columns hold text. Instants are milliseconds since the epoch, UTC.
-- branch is the resonate:branch tag of promises that are not named like their branch.
CREATE TABLE promises (
  id          TEXT PRIMARY KEY NOT NULL CHECK (id <> ''),
  state       TEXT NOT NULL
              CHECK (state IN ('pending', 'resolved', 'rejected', 'rejected_canceled', 'rejected_timedout')),
  param       TEXT NOT NULL,
  value       TEXT NOT NULL,
  tags        TEXT NOT NULL,
  timeout_at  INTEGER NOT NULL,
  created_at  INTEGER NOT NULL,
  settled_at  INTEGER,
  callbacks   TEXT NOT NULL,
  listeners   TEXT NOT NULL,
  route       TEXT,
  task_state  TEXT
              CHECK (task_state IN ('pending', 'acquired', 'suspended', 'halted', 'fulfilled')),
  version     INTEGER,
  pid         TEXT,
  ttl         INTEGER,
  expires_at  INTEGER,
  retry_at    INTEGER,
  resumes     TEXT,
  branch      TEXT CHECK (branch <> id),
  CHECK ((state = 'pending') = (settled_at IS NULL)),
  CHECK ((route IS NULL) = (task_state IS NULL)),
  CHECK (task_state IS NULL OR (task_state = 'acquired') = (expires_at IS NOT NULL)),
  CHECK (task_state IS NULL OR (task_state = 'pending') = (retry_at IS NOT NULL))
) STRICT;

-- Deadlines of living promises.
CREATE INDEX promises_timeout ON promises (timeout_at) WHERE state = 'pending';
-- Leases, by their end.
CREATE INDEX promises_lease ON promises (expires_at) WHERE task_state = 'acquired';
-- Tasks that wait for a worker, by the queue they wait in.
CREATE INDEX promises_ready ON promises (route, retry_at, id) WHERE task_state = 'pending';
-- Tasks that became pending later than at birth: the only ones that can lie in the future.
CREATE INDEX promises_delayed ON promises (retry_at) WHERE task_state = 'pending' AND retry_at > created_at;
-- Settled promises somebody still has to hear of.
CREATE INDEX promises_obligations ON promises (settled_at, id)
  WHERE state <> 'pending' AND (callbacks <> '[]' OR listeners <> '[]');

-- Facts about the database itself; 'probe' is written to see whether the disk takes writes.
CREATE TABLE meta (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL) STRICT;
