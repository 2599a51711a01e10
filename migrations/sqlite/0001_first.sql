-- What hookrun remembers. Times are unix milliseconds UTC; ids sort by time; JSON is TEXT. Large texts (bodies, prompts,
-- events) stand beside the rows that lists and claims read, not in them.

CREATE TABLE meta (
  name TEXT PRIMARY KEY,
  value BLOB NOT NULL
);

CREATE TABLE deliveries (
  id TEXT PRIMARY KEY,
  source TEXT NOT NULL,
  secret_label TEXT NOT NULL,
  sender_id TEXT,
  body_sha256 TEXT NOT NULL,
  body_bytes BIGINT NOT NULL,
  received_at BIGINT NOT NULL,
  native TEXT NOT NULL,
  kind TEXT,
  subject TEXT,
  repo TEXT,
  outcome TEXT NOT NULL,
  reason TEXT NOT NULL,
  verdicts TEXT NOT NULL
);

CREATE INDEX deliveries_of_subject ON deliveries (subject, id) WHERE subject IS NOT NULL;

-- Bodies as they arrived, LZ4 blocks, with the headers that are needed to understand them again.
CREATE TABLE bodies (
  delivery TEXT PRIMARY KEY REFERENCES deliveries (id) ON DELETE CASCADE,
  received_at BIGINT NOT NULL,
  headers TEXT NOT NULL,
  body BLOB NOT NULL
);

CREATE TABLE jobs (
  id TEXT PRIMARY KEY,
  rule TEXT NOT NULL,
  source TEXT NOT NULL,
  key TEXT NOT NULL,
  lane TEXT NOT NULL,
  subject TEXT NOT NULL,
  repo TEXT,
  sha TEXT,
  -- 1 if an event that joined it tells a failure of that commit: only then it is an attempt.
  failing BIGINT NOT NULL,
  state TEXT NOT NULL,
  reason TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  due_at BIGINT NOT NULL,
  settled_by BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  submitted_at BIGINT,
  answered_at BIGINT,
  ended_at BIGINT,
  tries BIGINT NOT NULL DEFAULT 0,
  attempt BIGINT NOT NULL DEFAULT 0,
  events BIGINT NOT NULL DEFAULT 0,
  revision BIGINT NOT NULL DEFAULT 0,
  retry_of TEXT,
  gates TEXT NOT NULL DEFAULT '[]',
  -- 1 while further events join it. One that was sent and held before it was settled must not swallow them.
  open BIGINT GENERATED ALWAYS AS (CASE WHEN state = 'queued' OR (state = 'held' AND submitted_at IS NULL)
    THEN 1 ELSE 0 END) STORED,
  -- Its subject while it has, or may have, an unfinished run.
  busy TEXT GENERATED ALWAYS AS (CASE WHEN state IN ('submitting', 'uncertain', 'running')
    OR (state = 'held' AND submitted_at IS NOT NULL) THEN NULLIF(subject, '') END) STORED,
  -- Its lane and due time while it is queued. Columns of their own, because with `state = 'queued'` in a question the
  -- planner takes the index of states and reads every queued job.
  queued_lane TEXT GENERATED ALWAYS AS (CASE WHEN state = 'queued' THEN lane END) STORED,
  queued_due BIGINT GENERATED ALWAYS AS (CASE WHEN state = 'queued' THEN due_at END) STORED
);
CREATE UNIQUE INDEX jobs_open ON jobs (rule, key) WHERE open = 1;
CREATE INDEX jobs_of_key ON jobs (rule, key, id);
CREATE INDEX jobs_lanes ON jobs (queued_lane, queued_due, id) WHERE queued_lane IS NOT NULL;
CREATE INDEX jobs_due ON jobs (queued_due) WHERE queued_due IS NOT NULL;
CREATE INDEX jobs_busy ON jobs (busy) WHERE busy IS NOT NULL;
CREATE INDEX jobs_of_subject ON jobs (subject, ended_at);
CREATE INDEX jobs_by_state ON jobs (state, id);
CREATE INDEX jobs_by_rule ON jobs (rule, id);
CREATE INDEX jobs_ended ON jobs (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE job_events (
  job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
  seq BIGINT NOT NULL,
  delivery TEXT NOT NULL,
  received_at BIGINT NOT NULL,
  event TEXT NOT NULL,
  PRIMARY KEY (job, seq)
);
CREATE INDEX job_events_of_delivery ON job_events (delivery);

CREATE TABLE prompts (
  job TEXT PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
  prompt TEXT NOT NULL,
  note TEXT NOT NULL
);

-- One row for each happening that a rule has acted upon: what makes a cause one run.
CREATE TABLE claims (
  rule TEXT NOT NULL,
  happening TEXT NOT NULL,
  claimed_at BIGINT NOT NULL,
  PRIMARY KEY (rule, happening)
);
CREATE INDEX claims_age ON claims (claimed_at);

-- The distinct commits of a subject that were acted upon since its count was last reset.
CREATE TABLE attempts (
  grp TEXT NOT NULL,
  subject TEXT NOT NULL,
  sha TEXT NOT NULL,
  job TEXT NOT NULL,
  made_at BIGINT NOT NULL,
  -- The commit whose success took it out of the count, as long as none of that commit's checks is red or unfinished.
  cleared_by TEXT,
  PRIMARY KEY (subject, sha, grp)
);
CREATE INDEX attempts_cleared ON attempts (cleared_by) WHERE cleared_by IS NOT NULL;
CREATE INDEX attempts_age ON attempts (made_at);

CREATE TABLE runs (
  id BIGINT PRIMARY KEY,
  job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
  status TEXT,
  phase TEXT NOT NULL,
  url TEXT,
  result TEXT,
  summary TEXT,
  pull_requests TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  seen_at BIGINT NOT NULL,
  ended_at BIGINT
);
CREATE INDEX runs_of_job ON runs (job);

CREATE TABLE subjects (
  key TEXT PRIMARY KEY,
  host TEXT NOT NULL,
  repo TEXT NOT NULL,
  change_number BIGINT,
  facts TEXT NOT NULL,
  updated_at BIGINT NOT NULL
);
CREATE INDEX subjects_of_change ON subjects (host, repo, change_number) WHERE change_number IS NOT NULL;
CREATE INDEX subjects_age ON subjects (updated_at);

-- Every head commit that a subject was seen with: CI of an older commit still belongs to its change.
CREATE TABLE heads (
  host TEXT NOT NULL,
  repo TEXT NOT NULL,
  sha TEXT NOT NULL,
  subject TEXT NOT NULL,
  fork BIGINT NOT NULL,
  seen_at BIGINT NOT NULL,
  PRIMARY KEY (host, repo, sha, subject)
);
CREATE INDEX heads_age ON heads (seen_at);

CREATE TABLE checks (
  host TEXT NOT NULL,
  repo TEXT NOT NULL,
  sha TEXT NOT NULL,
  name TEXT NOT NULL,
  aggregate BIGINT NOT NULL,
  outcome TEXT NOT NULL,
  seen_at BIGINT NOT NULL,
  PRIMARY KEY (host, repo, sha, name, aggregate)
);
CREATE INDEX checks_age ON checks (seen_at);

-- One row for each window that a call is charged to; a call under way has no end yet.
CREATE TABLE calls (
  id TEXT NOT NULL,
  class TEXT NOT NULL,
  purpose TEXT NOT NULL,
  began_at BIGINT NOT NULL,
  ended_at BIGINT,
  PRIMARY KEY (id, class)
);
CREATE INDEX calls_of_class ON calls (class, ended_at);

CREATE TABLE freezes (
  class TEXT PRIMARY KEY,
  until_at BIGINT NOT NULL,
  reason TEXT NOT NULL
);

-- Codegen's own list of repositories.
CREATE TABLE repos (
  full_name TEXT PRIMARY KEY,
  id BIGINT NOT NULL,
  saved_at BIGINT NOT NULL
);

-- Kept by triggers, so that counting stays as quick with a million jobs as with none.
CREATE TABLE job_counts (
  state TEXT PRIMARY KEY,
  jobs BIGINT NOT NULL
);
CREATE TABLE rule_counts (
  rule TEXT PRIMARY KEY,
  jobs BIGINT NOT NULL,
  last_at BIGINT NOT NULL
);
CREATE TRIGGER jobs_counted AFTER INSERT ON jobs BEGIN
  INSERT INTO rule_counts (rule, jobs, last_at) VALUES (NEW.rule, 1, NEW.created_at)
    ON CONFLICT (rule) DO UPDATE SET jobs = jobs + 1, last_at = MAX(last_at, excluded.last_at);
  INSERT INTO job_counts (state, jobs) VALUES (NEW.state, 1) ON CONFLICT (state) DO UPDATE SET jobs = jobs + 1;
END;
CREATE TRIGGER jobs_recounted AFTER UPDATE OF state ON jobs WHEN OLD.state <> NEW.state BEGIN
  UPDATE job_counts SET jobs = jobs - 1 WHERE state = OLD.state;
  INSERT INTO job_counts (state, jobs) VALUES (NEW.state, 1) ON CONFLICT (state) DO UPDATE SET jobs = jobs + 1;
END;
CREATE TRIGGER jobs_uncounted AFTER DELETE ON jobs BEGIN
  UPDATE rule_counts SET jobs = jobs - 1 WHERE rule = OLD.rule;
  UPDATE job_counts SET jobs = jobs - 1 WHERE state = OLD.state;
END;
