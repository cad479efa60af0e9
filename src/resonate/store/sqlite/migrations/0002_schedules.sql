-- The columns stand in the order of the fields of core.objects.Schedule.
CREATE TABLE schedules (
  id              TEXT PRIMARY KEY NOT NULL CHECK (id <> ''),
  cron            TEXT NOT NULL,
  promise_id      TEXT NOT NULL,
  promise_timeout INTEGER NOT NULL,
  promise_param   TEXT NOT NULL,
  promise_tags    TEXT NOT NULL,
  created_at      INTEGER NOT NULL,
  next_run_at     INTEGER NOT NULL,
  last_run_at     INTEGER
) STRICT;

-- What fires next.
CREATE INDEX schedules_next ON schedules (next_run_at);

-- Local steps of workflows, by the branch they belong to: what a holder is told with its task.
CREATE INDEX promises_branch ON promises (branch, id) WHERE branch IS NOT NULL;

-- Promises by age, for searches.
CREATE INDEX promises_created ON promises (created_at);
