-- name: write
-- Insert or update a batch of objects: one JSON array, one element an object, in one statement.
-- What a promise is born with never changes, so an update leaves it alone.
INSERT INTO promises
SELECT value ->> 0, value ->> 1, value -> 2, value -> 3, value -> 4, value ->> 5, value ->> 6,
       value ->> 7, value -> 8, value -> 9, value ->> 10, value ->> '$[11][0]',
       value ->> '$[11][1]', value ->> '$[11][2]', value ->> '$[11][3]', value ->> '$[11][4]',
       value ->> '$[11][5]', value -> '$[11][6]'
FROM jsonb_each(?) WHERE true
ON CONFLICT (id) DO UPDATE SET
  state = excluded.state, value = excluded.value, settled_at = excluded.settled_at,
  callbacks = excluded.callbacks, listeners = excluded.listeners,
  task_state = excluded.task_state, version = excluded.version, pid = excluded.pid,
  ttl = excluded.ttl, expires_at = excluded.expires_at, retry_at = excluded.retry_at,
  resumes = excluded.resumes;

-- name: load
-- The objects with the ids in a JSON array.
SELECT json_array(id, state, json(param), json(value), json(tags), timeout_at, created_at,
                  settled_at, json(callbacks), json(listeners), route,
                  CASE WHEN task_state IS NOT NULL THEN
                    json_array(task_state, version, pid, ttl, expires_at, retry_at, json(resumes))
                  END)
FROM promises WHERE id IN (SELECT value FROM json_each(?));

-- name: snapshot
-- Every object.
SELECT json_array(id, state, json(param), json(value), json(tags), timeout_at, created_at,
                  settled_at, json(callbacks), json(listeners), route,
                  CASE WHEN task_state IS NOT NULL THEN
                    json_array(task_state, version, pid, ttl, expires_at, retry_at, json(resumes))
                  END)
FROM promises ORDER BY id;

-- name: due
-- Instants at which the server has to look at an object by itself.
SELECT instant, id FROM (
  SELECT * FROM (SELECT timeout_at AS instant, id FROM promises
    WHERE state = 'pending' AND timeout_at > :after AND timeout_at <= :until
    ORDER BY timeout_at LIMIT :limit)
  UNION ALL
  SELECT * FROM (SELECT expires_at, id FROM promises
    WHERE task_state = 'acquired' AND expires_at > :after AND expires_at <= :until
    ORDER BY expires_at LIMIT :limit)
  UNION ALL
  SELECT * FROM (SELECT retry_at, id FROM promises
    WHERE task_state = 'pending' AND retry_at > created_at
      AND retry_at > :after AND retry_at <= :until
    ORDER BY retry_at LIMIT :limit)
) ORDER BY instant, id LIMIT :limit;

-- name: ready
-- Tasks of one route that may be dispatched now. A timer's task never is.
SELECT id, version, retry_at, tags ->> '$."resonate:target"' FROM promises
WHERE task_state = 'pending' AND route = :route
  AND (retry_at, id) > (:after_at, :after_id) AND retry_at <= :now
  AND timeout_at > :now AND coalesce(tags ->> '$."resonate:timer"', '') <> 'true'
ORDER BY retry_at, id LIMIT :limit;

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

-- name: probe
-- See whether the disk takes a durable write.
INSERT INTO meta VALUES ('probe', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value;
