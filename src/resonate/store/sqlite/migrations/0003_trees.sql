-- What was begun in a tree and is not named after its root, by the root: what is, its ids tell.
CREATE INDEX promises_apart ON promises (tags ->> '$."resonate:origin"', id)
  WHERE id <> tags ->> '$."resonate:origin"'
  AND substr(id, 1, length(tags ->> '$."resonate:origin"') + 1)
      <> tags ->> '$."resonate:origin"' || '.';
