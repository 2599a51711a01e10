-- What rules say about their jobs after they were made: context, person, priority, approval, budgets, pauses, notices.

DROP INDEX jobs_busy;
DROP INDEX jobs_lanes;
DROP INDEX jobs_due;

-- The subject, or the ticket that it belongs to: one context has one agent.
ALTER TABLE jobs ADD COLUMN context TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN file TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN person TEXT;
-- 0 people, 1 urgent, 2 normal, 3 background.
ALTER TABLE jobs ADD COLUMN priority BIGINT NOT NULL DEFAULT 2;
ALTER TABLE jobs ADD COLUMN action TEXT NOT NULL DEFAULT 'run';
-- The run that it is said to.
ALTER TABLE jobs ADD COLUMN target BIGINT;
-- The job whose run it is said to: a follow-up, or something that is told or done to that run.
ALTER TABLE jobs ADD COLUMN follows TEXT;
-- What it says to that run, where no rule's prompt does: the reason changes while it waits and is sent.
ALTER TABLE jobs ADD COLUMN message TEXT;
-- The run that it made or told.
ALTER TABLE jobs ADD COLUMN run BIGINT;
ALTER TABLE jobs ADD COLUMN resumed BIGINT NOT NULL DEFAULT 0;
-- When the run that it told was seen to leave its old end, or to have the message in its trace.
ALTER TABLE jobs ADD COLUMN heard_at BIGINT;
ALTER TABLE jobs ADD COLUMN approved BIGINT NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN hold_until BIGINT;
-- Words of: head, closed, green.
ALTER TABLE jobs ADD COLUMN stale_on TEXT NOT NULL DEFAULT '';
-- A gate that looks at this job alone (a budget of its subject or person) let it wait until then: its lane goes on.
ALTER TABLE jobs ADD COLUMN not_before BIGINT NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN rules_hash TEXT NOT NULL DEFAULT '';

-- Made anew below. Not before other columns stand behind them: SQLite leaves out too much when it drops the last one.
ALTER TABLE jobs DROP COLUMN busy;
ALTER TABLE jobs DROP COLUMN queued_lane;
ALTER TABLE jobs DROP COLUMN queued_due;

UPDATE jobs SET context = subject;
UPDATE jobs SET run = (SELECT MAX(r.id) FROM runs r WHERE r.job = jobs.id);
UPDATE jobs SET lane = priority || char(31) || rule || char(31) || COALESCE(repo, '') || char(31) || source
  || char(31) || action
  WHERE state = 'queued' OR state = 'held';

-- 1 while it has, or may have, an unfinished run; and its context then.
ALTER TABLE jobs ADD COLUMN active BIGINT GENERATED ALWAYS AS (CASE WHEN state IN ('submitting', 'uncertain', 'running')
  OR (state = 'held' AND submitted_at IS NOT NULL) THEN 1 ELSE 0 END) VIRTUAL;
ALTER TABLE jobs ADD COLUMN busy TEXT GENERATED ALWAYS AS (CASE WHEN state IN ('submitting', 'uncertain', 'running')
  OR (state = 'held' AND submitted_at IS NOT NULL) THEN NULLIF(context, '') END) VIRTUAL;
ALTER TABLE jobs ADD COLUMN queued_lane TEXT GENERATED ALWAYS AS (CASE WHEN state = 'queued' THEN lane END) VIRTUAL;
ALTER TABLE jobs ADD COLUMN queued_due BIGINT GENERATED ALWAYS AS (CASE WHEN state = 'queued'
  THEN MAX(due_at, not_before) END) VIRTUAL;
CREATE INDEX jobs_lanes ON jobs (queued_lane, queued_due, id) WHERE queued_lane IS NOT NULL;
CREATE INDEX jobs_due ON jobs (queued_due) WHERE queued_due IS NOT NULL;
CREATE INDEX jobs_busy ON jobs (busy) WHERE busy IS NOT NULL;
CREATE INDEX jobs_active ON jobs (active, rule, repo, file, person) WHERE active = 1;
CREATE INDEX jobs_of_run ON jobs (run) WHERE run IS NOT NULL;
CREATE INDEX jobs_of_context ON jobs (context, run) WHERE run IS NOT NULL;
CREATE INDEX jobs_following ON jobs (follows) WHERE follows IS NOT NULL;
CREATE INDEX jobs_parked ON jobs (not_before) WHERE not_before > 0;
CREATE INDEX jobs_parked_within ON jobs (context) WHERE not_before > 0;
CREATE INDEX jobs_parked_for ON jobs (person) WHERE not_before > 0;
CREATE INDEX jobs_to_agree ON jobs (hold_until) WHERE hold_until IS NOT NULL;

-- When each lane was last served, so that lanes of one priority take turns.
CREATE TABLE lanes (
  lane TEXT PRIMARY KEY,
  served_at BIGINT NOT NULL
);

-- Budgets are windows in `calls` as well: their class is a scope and a name, e.g. 'rule:fix-failed-checks', 'all:'.
CREATE INDEX calls_of_purpose ON calls (purpose);
CREATE INDEX calls_age ON calls (ended_at);

CREATE TABLE pauses (
  scope TEXT NOT NULL,
  name TEXT NOT NULL,
  reason TEXT NOT NULL,
  by_whom TEXT NOT NULL,
  since_at BIGINT NOT NULL,
  until_at BIGINT,
  PRIMARY KEY (scope, name)
);

CREATE TABLE notices (
  id TEXT PRIMARY KEY,
  kind TEXT NOT NULL,
  about TEXT NOT NULL,
  rule TEXT NOT NULL,
  job TEXT NOT NULL,
  said_at BIGINT NOT NULL,
  settled_at BIGINT,
  text TEXT NOT NULL,
  details TEXT NOT NULL
);
CREATE UNIQUE INDEX notices_open ON notices (kind, about) WHERE settled_at IS NULL;

-- Names under which a ticket or issue may be mentioned elsewhere, e.g. 'OPS-17'; two sites may use the same one.
CREATE TABLE aliases (
  alias TEXT NOT NULL,
  subject TEXT NOT NULL,
  seen_at BIGINT NOT NULL,
  PRIMARY KEY (alias, subject)
);
CREATE INDEX aliases_age ON aliases (seen_at);

-- How many runs a rule has started, ever.
ALTER TABLE rule_counts ADD COLUMN sent BIGINT NOT NULL DEFAULT 0;

-- By what a person may point at a delivery later: the commit and the happening of its first event.
ALTER TABLE deliveries ADD COLUMN sha TEXT;
ALTER TABLE deliveries ADD COLUMN happening TEXT;
CREATE INDEX deliveries_of_sha ON deliveries (sha, id) WHERE sha IS NOT NULL;
CREATE INDEX deliveries_of_happening ON deliveries (happening, id) WHERE happening IS NOT NULL;
CREATE INDEX deliveries_of_repo ON deliveries (repo, id) WHERE repo IS NOT NULL;
CREATE INDEX heads_of_sha ON heads (sha);
CREATE INDEX heads_of_subject ON heads (subject, seen_at);
CREATE INDEX subjects_of_repo ON subjects (repo, change_number);
CREATE INDEX jobs_of_sha ON jobs (sha, id) WHERE sha IS NOT NULL;
-- What belongs to something else: its jobs are part of that thing's story.
CREATE INDEX jobs_within ON jobs (context, id) WHERE context <> subject;
