-- What hookrun remembers, as SQLite does after its steps 1 and 2; texts are compared byte by byte, as there. Times are unix milliseconds UTC; ids sort by time; JSON is TEXT. Large texts (bodies, prompts,
-- events) stand beside the rows that lists and claims read, not in them.

CREATE TABLE meta (
  name TEXT COLLATE "C" PRIMARY KEY,
  value BYTEA NOT NULL
);

CREATE TABLE deliveries (
  id TEXT COLLATE "C" PRIMARY KEY,
  source TEXT COLLATE "C" NOT NULL,
  secret_label TEXT COLLATE "C" NOT NULL,
  sender_id TEXT COLLATE "C",
  body_sha256 TEXT COLLATE "C" NOT NULL,
  body_bytes BIGINT NOT NULL,
  received_at BIGINT NOT NULL,
  native TEXT COLLATE "C" NOT NULL,
  kind TEXT COLLATE "C",
  subject TEXT COLLATE "C",
  repo TEXT COLLATE "C",
  outcome TEXT COLLATE "C" NOT NULL,
  reason TEXT COLLATE "C" NOT NULL,
  verdicts TEXT COLLATE "C" NOT NULL,
  -- By what a person may point at a delivery later: the commit and the happening of its first event.
  sha TEXT COLLATE "C",
  happening TEXT COLLATE "C"
);

CREATE INDEX deliveries_of_subject ON deliveries (subject, id) WHERE subject IS NOT NULL;

-- Bodies as they arrived, LZ4 blocks, with the headers that are needed to understand them again.
CREATE TABLE bodies (
  delivery TEXT COLLATE "C" PRIMARY KEY REFERENCES deliveries (id) ON DELETE CASCADE,
  received_at BIGINT NOT NULL,
  headers TEXT COLLATE "C" NOT NULL,
  body BYTEA NOT NULL
);

CREATE TABLE jobs (
  id TEXT COLLATE "C" PRIMARY KEY,
  rule TEXT COLLATE "C" NOT NULL,
  source TEXT COLLATE "C" NOT NULL,
  key TEXT COLLATE "C" NOT NULL,
  lane TEXT COLLATE "C" NOT NULL,
  subject TEXT COLLATE "C" NOT NULL,
  repo TEXT COLLATE "C",
  sha TEXT COLLATE "C",
  -- 1 if an event that joined it tells a failure of that commit: only then it is an attempt.
  failing BIGINT NOT NULL,
  state TEXT COLLATE "C" NOT NULL,
  reason TEXT COLLATE "C" NOT NULL,
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
  retry_of TEXT COLLATE "C",
  gates TEXT COLLATE "C" NOT NULL DEFAULT '[]',
  -- The subject, or the ticket that it belongs to: one context has one agent.
  context TEXT COLLATE "C" NOT NULL DEFAULT '',
  file TEXT COLLATE "C" NOT NULL DEFAULT '',
  person TEXT COLLATE "C",
  -- 0 people, 1 urgent, 2 normal, 3 background.
  priority BIGINT NOT NULL DEFAULT 2,
  action TEXT COLLATE "C" NOT NULL DEFAULT 'run',
  -- The run that it is said to.
  target BIGINT,
  -- The job whose run it is said to: a follow-up, or something that is told or done to that run.
  follows TEXT COLLATE "C",
  -- What it says to that run, where no rule's prompt does: the reason changes while it waits and is sent.
  message TEXT COLLATE "C",
  -- The run that it made or told.
  run BIGINT,
  resumed BIGINT NOT NULL DEFAULT 0,
  -- When the run that it told was seen to leave its old end, or to have the message in its trace.
  heard_at BIGINT,
  approved BIGINT NOT NULL DEFAULT 0,
  hold_until BIGINT,
  -- Words of: head, closed, green.
  stale_on TEXT COLLATE "C" NOT NULL DEFAULT '',
  -- A gate that looks at this job alone (a budget of its subject or person) let it wait until then: its lane goes on.
  not_before BIGINT NOT NULL DEFAULT 0,
  rules_hash TEXT COLLATE "C" NOT NULL DEFAULT '',
  -- 1 while further events join it. One that was sent and held before it was settled must not swallow them.
  open BIGINT GENERATED ALWAYS AS (CASE WHEN state = 'queued' OR (state = 'held' AND submitted_at IS NULL)
    THEN 1 ELSE 0 END) STORED,
  -- 1 while it has, or may have, an unfinished run; and its context then.
  active BIGINT GENERATED ALWAYS AS (CASE WHEN state IN ('submitting', 'uncertain', 'running')
    OR (state = 'held' AND submitted_at IS NOT NULL) THEN 1 ELSE 0 END) STORED,
  busy TEXT COLLATE "C" GENERATED ALWAYS AS (CASE WHEN state IN ('submitting', 'uncertain', 'running')
    OR (state = 'held' AND submitted_at IS NOT NULL) THEN NULLIF(context, '') END) STORED,
  -- Its lane and due time while it is queued.
  queued_lane TEXT COLLATE "C" GENERATED ALWAYS AS (CASE WHEN state = 'queued' THEN lane END) STORED,
  queued_due BIGINT GENERATED ALWAYS AS (CASE WHEN state = 'queued' THEN GREATEST(due_at, not_before) END) STORED
);
CREATE UNIQUE INDEX jobs_open ON jobs (rule, key) WHERE open = 1;
CREATE INDEX jobs_of_key ON jobs (rule, key, id);
CREATE INDEX jobs_of_subject ON jobs (subject, ended_at);
CREATE INDEX jobs_by_state ON jobs (state, id);
CREATE INDEX jobs_by_rule ON jobs (rule, id);
CREATE INDEX jobs_ended ON jobs (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE job_events (
  job TEXT COLLATE "C" NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
  seq BIGINT NOT NULL,
  delivery TEXT COLLATE "C" NOT NULL,
  received_at BIGINT NOT NULL,
  event TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (job, seq)
);
CREATE INDEX job_events_of_delivery ON job_events (delivery);

CREATE TABLE prompts (
  job TEXT COLLATE "C" PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
  prompt TEXT COLLATE "C" NOT NULL,
  note TEXT COLLATE "C" NOT NULL
);

-- One row for each happening that a rule has acted upon: what makes a cause one run.
CREATE TABLE claims (
  rule TEXT COLLATE "C" NOT NULL,
  happening TEXT COLLATE "C" NOT NULL,
  claimed_at BIGINT NOT NULL,
  PRIMARY KEY (rule, happening)
);
CREATE INDEX claims_age ON claims (claimed_at);

-- The distinct commits of a subject that were acted upon since its count was last reset.
CREATE TABLE attempts (
  grp TEXT COLLATE "C" NOT NULL,
  subject TEXT COLLATE "C" NOT NULL,
  sha TEXT COLLATE "C" NOT NULL,
  job TEXT COLLATE "C" NOT NULL,
  made_at BIGINT NOT NULL,
  -- The commit whose success took it out of the count, as long as none of that commit's checks is red or unfinished.
  cleared_by TEXT COLLATE "C",
  PRIMARY KEY (subject, sha, grp)
);
CREATE INDEX attempts_cleared ON attempts (cleared_by) WHERE cleared_by IS NOT NULL;
CREATE INDEX attempts_age ON attempts (made_at);

CREATE TABLE runs (
  id BIGINT PRIMARY KEY,
  job TEXT COLLATE "C" NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
  status TEXT COLLATE "C",
  phase TEXT COLLATE "C" NOT NULL,
  url TEXT COLLATE "C",
  result TEXT COLLATE "C",
  summary TEXT COLLATE "C",
  pull_requests TEXT COLLATE "C" NOT NULL,
  created_at BIGINT NOT NULL,
  seen_at BIGINT NOT NULL,
  ended_at BIGINT
);
CREATE INDEX runs_of_job ON runs (job);

CREATE TABLE subjects (
  key TEXT COLLATE "C" PRIMARY KEY,
  host TEXT COLLATE "C" NOT NULL,
  repo TEXT COLLATE "C" NOT NULL,
  change_number BIGINT,
  facts TEXT COLLATE "C" NOT NULL,
  updated_at BIGINT NOT NULL
);
CREATE INDEX subjects_of_change ON subjects (host, repo, change_number) WHERE change_number IS NOT NULL;
CREATE INDEX subjects_age ON subjects (updated_at);

-- Every head commit that a subject was seen with: CI of an older commit still belongs to its change.
CREATE TABLE heads (
  host TEXT COLLATE "C" NOT NULL,
  repo TEXT COLLATE "C" NOT NULL,
  sha TEXT COLLATE "C" NOT NULL,
  subject TEXT COLLATE "C" NOT NULL,
  fork BIGINT NOT NULL,
  seen_at BIGINT NOT NULL,
  PRIMARY KEY (host, repo, sha, subject)
);
CREATE INDEX heads_age ON heads (seen_at);

CREATE TABLE checks (
  host TEXT COLLATE "C" NOT NULL,
  repo TEXT COLLATE "C" NOT NULL,
  sha TEXT COLLATE "C" NOT NULL,
  name TEXT COLLATE "C" NOT NULL,
  aggregate BIGINT NOT NULL,
  outcome TEXT COLLATE "C" NOT NULL,
  seen_at BIGINT NOT NULL,
  PRIMARY KEY (host, repo, sha, name, aggregate)
);
CREATE INDEX checks_age ON checks (seen_at);

-- One row for each window that a call is charged to; a call under way has no end yet.
CREATE TABLE calls (
  id TEXT COLLATE "C" NOT NULL,
  class TEXT COLLATE "C" NOT NULL,
  purpose TEXT COLLATE "C" NOT NULL,
  began_at BIGINT NOT NULL,
  ended_at BIGINT,
  PRIMARY KEY (id, class)
);
CREATE INDEX calls_of_class ON calls (class, ended_at);

CREATE TABLE freezes (
  class TEXT COLLATE "C" PRIMARY KEY,
  until_at BIGINT NOT NULL,
  reason TEXT COLLATE "C" NOT NULL
);

-- Codegen's own list of repositories.
CREATE TABLE repos (
  full_name TEXT COLLATE "C" PRIMARY KEY,
  id BIGINT NOT NULL,
  saved_at BIGINT NOT NULL
);

-- Kept by triggers, so that counting stays as quick with a million jobs as with none.
CREATE TABLE job_counts (
  state TEXT COLLATE "C" PRIMARY KEY,
  jobs BIGINT NOT NULL
);
CREATE TABLE rule_counts (
  rule TEXT COLLATE "C" PRIMARY KEY,
  jobs BIGINT NOT NULL,
  last_at BIGINT NOT NULL,
  -- How many runs a rule has started, ever.
  sent BIGINT NOT NULL DEFAULT 0
);
CREATE FUNCTION count_job() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO rule_counts AS c (rule, jobs, last_at) VALUES (NEW.rule, 1, NEW.created_at)
      ON CONFLICT (rule) DO UPDATE SET jobs = c.jobs + 1, last_at = GREATEST(c.last_at, excluded.last_at);
  ELSIF TG_OP = 'DELETE' THEN
    UPDATE rule_counts SET jobs = jobs - 1 WHERE rule = OLD.rule;
  END IF;
  IF TG_OP <> 'INSERT' THEN
    UPDATE job_counts SET jobs = jobs - 1 WHERE state = OLD.state;
  END IF;
  IF TG_OP <> 'DELETE' THEN
    INSERT INTO job_counts AS c (state, jobs) VALUES (NEW.state, 1) ON CONFLICT (state) DO UPDATE SET jobs = c.jobs + 1;
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER jobs_counted AFTER INSERT OR DELETE ON jobs FOR EACH ROW EXECUTE FUNCTION count_job();
CREATE TRIGGER jobs_recounted AFTER UPDATE OF state ON jobs FOR EACH ROW
  WHEN (OLD.state <> NEW.state) EXECUTE FUNCTION count_job();

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
  lane TEXT COLLATE "C" PRIMARY KEY,
  served_at BIGINT NOT NULL
);

-- Budgets are windows in `calls` as well: their class is a scope and a name, e.g. 'rule:fix-failed-checks', 'all:'.
CREATE INDEX calls_of_purpose ON calls (purpose);
CREATE INDEX calls_age ON calls (ended_at);

CREATE TABLE pauses (
  scope TEXT COLLATE "C" NOT NULL,
  name TEXT COLLATE "C" NOT NULL,
  reason TEXT COLLATE "C" NOT NULL,
  by_whom TEXT COLLATE "C" NOT NULL,
  since_at BIGINT NOT NULL,
  until_at BIGINT,
  PRIMARY KEY (scope, name)
);

CREATE TABLE notices (
  id TEXT COLLATE "C" PRIMARY KEY,
  kind TEXT COLLATE "C" NOT NULL,
  about TEXT COLLATE "C" NOT NULL,
  rule TEXT COLLATE "C" NOT NULL,
  job TEXT COLLATE "C" NOT NULL,
  said_at BIGINT NOT NULL,
  settled_at BIGINT,
  text TEXT COLLATE "C" NOT NULL,
  details TEXT COLLATE "C" NOT NULL
);
CREATE UNIQUE INDEX notices_open ON notices (kind, about) WHERE settled_at IS NULL;

-- Names under which a ticket or issue may be mentioned elsewhere, e.g. 'OPS-17'; two sites may use the same one.
CREATE TABLE aliases (
  alias TEXT COLLATE "C" NOT NULL,
  subject TEXT COLLATE "C" NOT NULL,
  seen_at BIGINT NOT NULL,
  PRIMARY KEY (alias, subject)
);
CREATE INDEX aliases_age ON aliases (seen_at);

CREATE INDEX deliveries_of_sha ON deliveries (sha, id) WHERE sha IS NOT NULL;
CREATE INDEX deliveries_of_happening ON deliveries (happening, id) WHERE happening IS NOT NULL;
CREATE INDEX deliveries_of_repo ON deliveries (repo, id) WHERE repo IS NOT NULL;
CREATE INDEX heads_of_sha ON heads (sha);
CREATE INDEX heads_of_subject ON heads (subject, seen_at);
CREATE INDEX subjects_of_repo ON subjects (repo, change_number);
CREATE INDEX jobs_of_sha ON jobs (sha, id) WHERE sha IS NOT NULL;
-- What belongs to something else: its jobs are part of that thing's story.
CREATE INDEX jobs_within ON jobs (context, id) WHERE context <> subject;
