-- Jobs are listed by their state within a rule or a repository: each state is a walk of its own.

DROP INDEX jobs_by_rule;
CREATE INDEX jobs_by_rule ON jobs (rule, state, id);
CREATE INDEX jobs_by_repo ON jobs (repo, state, id) WHERE repo IS NOT NULL;
