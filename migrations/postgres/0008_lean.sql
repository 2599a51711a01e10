-- Jobs that nothing joins any more; the open ones stand in jobs_open.

DROP INDEX jobs_of_key;
CREATE INDEX jobs_of_key ON jobs (rule, key, id) WHERE open = 0;
