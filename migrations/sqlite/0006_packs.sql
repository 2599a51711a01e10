-- What arrived together is packed together: bodies of one host are alike, and a page holds many of them then.

-- The last delivery, by id, whose body is in the same pack; `delivery` is the first. Headers that stand in the pack with their
-- bodies leave the column empty.
ALTER TABLE bodies ADD COLUMN last TEXT;
-- The delivery with which the pack of its body is stored, if that is another one; and where it begins in the pack.
ALTER TABLE deliveries ADD COLUMN pack TEXT;
ALTER TABLE deliveries ADD COLUMN pack_at BIGINT NOT NULL DEFAULT 0;

-- Checks are found by their commit, and nothing else finds them: one tree instead of a table with two indexes.
ALTER TABLE checks RENAME TO checks_before;
CREATE TABLE checks (
  host TEXT NOT NULL,
  repo TEXT NOT NULL,
  sha TEXT NOT NULL,
  name TEXT NOT NULL,
  aggregate BIGINT NOT NULL,
  outcome TEXT NOT NULL,
  seen_at BIGINT NOT NULL,
  PRIMARY KEY (host, repo, sha, name, aggregate)
) WITHOUT ROWID;
INSERT INTO checks (host, repo, sha, name, aggregate, outcome, seen_at)
  SELECT host, repo, sha, name, aggregate, outcome, seen_at FROM checks_before ORDER BY host, repo, sha, name, aggregate;
DROP TABLE checks_before;
