-- A query is told by its name; ``{name}`` in it stands for the part of that name.

-- name: write
-- Insert or update a batch of objects: one JSON array, one element an object, in one statement.
-- What a promise is born with never changes, so an update leaves it alone.
INSERT INTO promises
SELECT value ->> 0, value ->> 1, value -> 2, value -> 3, value -> 4, value ->> 5, value ->> 6,
       value ->> 7, value -> 8, value -> 9, value ->> 10, value ->> '$[11][0]',
       value ->> '$[11][1]', value ->> '$[11][2]', value ->> '$[11][3]', value ->> '$[11][4]',
       value ->> '$[11][5]', value -> '$[11][6]',
       nullif(value ->> '$[4]."resonate:branch"', value ->> 0)
FROM jsonb_each(?) WHERE true
ON CONFLICT (id) DO UPDATE SET
  state = excluded.state, value = excluded.value, settled_at = excluded.settled_at,
  callbacks = excluded.callbacks, listeners = excluded.listeners,
  task_state = excluded.task_state, version = excluded.version, pid = excluded.pid,
  ttl = excluded.ttl, expires_at = excluded.expires_at, retry_at = excluded.retry_at,
  resumes = excluded.resumes;

-- name: write_schedules
-- Insert or update schedules; only the instants of their runs ever change.
INSERT INTO schedules
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value -> 4, value -> 5, value ->> 6,
       value ->> 7, value ->> 8
FROM jsonb_each(?) WHERE true
ON CONFLICT (id) DO UPDATE SET
  cron = excluded.cron, promise_id = excluded.promise_id,
  promise_timeout = excluded.promise_timeout, promise_param = excluded.promise_param,
  promise_tags = excluded.promise_tags, created_at = excluded.created_at,
  next_run_at = excluded.next_run_at, last_run_at = excluded.last_run_at;

-- name: delete
-- Delete the promises with the ids in a JSON array.
DELETE FROM promises WHERE id IN (SELECT value FROM json_each(?));

-- name: delete_schedules
-- Delete the schedules with the ids in a JSON array.
DELETE FROM schedules WHERE id IN (SELECT value FROM json_each(?));

-- name: delete_everything
-- Delete all objects.
DELETE FROM promises; DELETE FROM schedules;

-- name: object
-- Part: a promise as core.objects.Promise is encoded.
json_array(id, state, json(param), json(value), json(tags), timeout_at, created_at,
           settled_at, json(callbacks), json(listeners), route,
           CASE WHEN task_state IS NOT NULL THEN
             json_array(task_state, version, pid, ttl, expires_at, retry_at, json(resumes))
           END)

-- name: schedule
-- Part: a schedule as core.objects.Schedule is encoded.
json_array(id, cron, promise_id, promise_timeout, json(promise_param), json(promise_tags),
           created_at, next_run_at, last_run_at)

-- name: load
-- The promises with the ids in a JSON array.
SELECT {object} FROM promises WHERE id IN (SELECT value FROM json_each(?));

-- name: load_schedules
-- The schedules with the ids in a JSON array.
SELECT {schedule} FROM schedules WHERE id IN (SELECT value FROM json_each(?));

-- name: branch
-- Ids of the promises of a branch. The one that the branch is named after is not in the index.
SELECT id FROM promises WHERE branch = :branch ORDER BY id LIMIT :limit;

-- name: snapshot
-- Every promise.
SELECT {object} FROM promises ORDER BY id;

-- name: snapshot_schedules
-- Every schedule.
SELECT {schedule} FROM schedules ORDER BY id;

-- name: due
-- Instants at which the server has to look at an object by itself, its id, 1 for a schedule.
SELECT instant, id, schedule FROM (
  SELECT * FROM (SELECT timeout_at AS instant, id, 0 AS schedule FROM promises
    WHERE state = 'pending' AND timeout_at > :after AND timeout_at <= :until
    ORDER BY timeout_at LIMIT :limit)
  UNION ALL
  SELECT * FROM (SELECT expires_at, id, 0 FROM promises
    WHERE task_state = 'acquired' AND expires_at > :after AND expires_at <= :until
    ORDER BY expires_at LIMIT :limit)
  UNION ALL
  SELECT * FROM (SELECT retry_at, id, 0 FROM promises
    WHERE task_state = 'pending' AND retry_at > created_at
      AND retry_at > :after AND retry_at <= :until
    ORDER BY retry_at LIMIT :limit)
  UNION ALL
  SELECT * FROM (SELECT next_run_at, id, 1 FROM schedules
    WHERE next_run_at > :after AND next_run_at <= :until AND next_run_at < :never
    ORDER BY next_run_at LIMIT :limit)
) ORDER BY instant, id LIMIT :limit;

-- name: ready
-- Tasks of one route that may be dispatched now. A timer's task never is.
SELECT id, version, retry_at, tags ->> '$."resonate:target"' FROM promises
WHERE task_state = 'pending' AND route = :route
  AND (retry_at, id) > (:after_at, :after_id) AND retry_at <= :now
  AND timeout_at > :now AND coalesce(tags ->> '$."resonate:timer"', '') <> 'true'
ORDER BY retry_at, id LIMIT :limit;

-- name: routes
-- Routes on which pending tasks wait, one hop through the index for each.
WITH RECURSIVE hop(route) AS (
  SELECT min(route) FROM promises WHERE task_state = 'pending' AND route > :after
  UNION ALL
  SELECT (SELECT min(route) FROM promises WHERE task_state = 'pending' AND route > hop.route)
  FROM hop WHERE hop.route < :until
)
SELECT route FROM hop WHERE route < :until LIMIT :limit;

-- name: held
-- Tasks under a lease, sorted out of the index of leases: there are few of them among all objects.
SELECT id, version, pid FROM promises INDEXED BY promises_lease
WHERE task_state = 'acquired' AND id > :after ORDER BY id LIMIT :limit;

-- name: obligations
-- Settled promises with awaiters to wake or listeners to tell.
SELECT id, settled_at, listeners, json_array_length(callbacks) FROM promises
WHERE state <> 'pending' AND (callbacks <> '[]' OR listeners <> '[]')
  AND (settled_at, id) > (:after_at, :after_id)
ORDER BY settled_at, id LIMIT :limit;

-- name: seen
-- Part: the state of a promise as seen now.
CASE WHEN state <> 'pending' OR timeout_at > :now THEN state
     WHEN tags ->> '$."resonate:timer"' = 'true' THEN 'resolved'
     ELSE 'rejected_timedout' END

-- name: seen_task
-- Part: the state of a task as seen now.
CASE WHEN state = 'pending' AND timeout_at <= :now THEN 'fulfilled' ELSE task_state END

-- name: seen_settled_at
-- Part: when a promise was settled, as seen now.
CASE WHEN state = 'pending' AND timeout_at <= :now THEN timeout_at ELSE settled_at END

-- name: matching
-- Part: the filters of promise.search but state and ids.
NOT EXISTS (
    SELECT 1 FROM json_each(:tags) AS wanted WHERE NOT EXISTS (
      SELECT 1 FROM json_each(promises.tags) AS tag
      WHERE tag.key = wanted.key AND tag.value = wanted.value))
  AND (NOT :root_only OR coalesce(tags ->> '$."resonate:parent"', id) = id)
  AND (:created_from IS NULL OR created_at >= :created_from)
  AND (:created_to IS NULL OR created_at < :created_to)
  AND (:settled_from IS NULL OR {seen_settled_at} >= :settled_from)
  AND (:settled_to IS NULL OR {seen_settled_at} < :settled_to)

-- name: origin
-- Part: the root of its tree.
tags ->> '$."resonate:origin"'

-- name: filtered
-- Part: all filters of promise.search but that of ids.
(:state IS NULL OR {seen} = :state) AND {matching}

-- name: promises_by_id
-- A page of promise.search.
SELECT {object} FROM promises
WHERE id >= :low AND id < :high
  AND {filtered}
ORDER BY id LIMIT :limit;

-- name: promises_of_tree
-- A page of promise.search for a tree: its root, what is named after it, and what is in the index
-- of what is not (its conditions stand here again), merged by id.
SELECT object FROM (
  SELECT id, {object} AS object FROM promises
  WHERE id = :root AND id >= :low AND id < :high AND {filtered}
  UNION ALL
  SELECT id, {object} FROM promises
  WHERE id >= max(:low, :root || '.') AND id < min(:high, :root || '/') AND {filtered}
  UNION ALL
  SELECT id, {object} FROM promises
  WHERE {origin} = :root AND id >= :low AND id < :high
    AND id <> {origin} AND substr(id, 1, length({origin}) + 1) <> {origin} || '.'
    AND {filtered}
  ORDER BY id LIMIT :limit);

-- name: promises_newest
-- A page of promise.search, the newest first; + keeps it to the index of ages.
SELECT {object} FROM promises
WHERE created_at <= :age AND NOT (created_at = :age AND id <= :age_id)
  AND +id >= :low AND +id < :high
  AND {filtered}
ORDER BY created_at DESC, id LIMIT :limit;

-- name: promises_oldest
-- A page of promise.search, the oldest first.
SELECT {object} FROM promises
WHERE created_at >= :age AND NOT (created_at = :age AND id <= :age_id)
  AND +id >= :low AND +id < :high
  AND {filtered}
ORDER BY created_at, id LIMIT :limit;

-- name: count_promises
-- How many promises match, by state.
SELECT {seen}, count(*) FROM promises
WHERE id >= :low AND id < :high AND {matching} GROUP BY 1;

-- name: tasks_by_id
-- A page of task.search.
SELECT {object} FROM promises
WHERE id >= :low AND id < :high AND task_state IS NOT NULL
  AND (:state IS NULL OR {seen_task} = :state)
ORDER BY id LIMIT :limit;

-- name: count_tasks
-- How many tasks match, by state.
SELECT {seen_task}, count(*) FROM promises
WHERE id >= :low AND id < :high AND task_state IS NOT NULL GROUP BY 1;

-- name: schedules_by_id
-- A page of schedule.search.
SELECT {schedule} FROM schedules
WHERE id >= :low AND id < :high
  AND NOT EXISTS (
    SELECT 1 FROM json_each(:tags) AS wanted WHERE NOT EXISTS (
      SELECT 1 FROM json_each(promise_tags) AS tag
      WHERE tag.key = wanted.key AND tag.value = wanted.value))
ORDER BY id LIMIT :limit;

-- name: expendable
-- Ids of promises settled before an instant that nothing refers to any more: nobody has to hear of
-- them, and no workflow that they are a step of, or were started by, still runs.
SELECT id FROM promises
WHERE id > :after AND id <= :until AND state <> 'pending' AND settled_at < :before
  AND callbacks = '[]' AND listeners = '[]'
  AND NOT EXISTS (
    SELECT 1 FROM promises AS living
    WHERE living.id IN (promises.tags ->> '$."resonate:origin"',
                        promises.branch,
                        promises.tags ->> '$."resonate:parent"')
      AND living.state = 'pending')
  AND id NOT IN (
    SELECT awaiter.value FROM promises AS awaited, json_each(awaited.callbacks) AS awaiter
    WHERE awaited.state = 'pending' AND awaited.callbacks <> '[]')
ORDER BY id;

-- name: page
-- Where a walk over all promises pauses next.
SELECT max(id) FROM (SELECT id FROM promises WHERE id > :after ORDER BY id LIMIT :limit);

-- name: probe
-- See whether the disk takes a durable write.
INSERT INTO meta VALUES ('probe', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value;
