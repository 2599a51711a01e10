-- What is written with every delivery and job touches fewer pages.

-- Deliveries that are not filed, by number: each stands behind the last, where by id it would be anywhere among the newest.
DROP INDEX deliveries_unfiled;
CREATE INDEX deliveries_unfiled ON deliveries (unfiled) WHERE unfiled = 1;
-- Jobs that nothing joins any more; the open ones stand in jobs_open.
DROP INDEX jobs_of_key;
CREATE INDEX jobs_of_key ON jobs (rule, key, id) WHERE open = 0;

-- The delivery that this one repeats: replays are records of what somebody did, not something that came.
ALTER TABLE deliveries ADD COLUMN replay_of TEXT;
UPDATE deliveries SET replay_of = SUBSTR(sender_id, 11, 36) WHERE sender_id LIKE 'replay of %';

-- How often it was proved that a call of the job made no run, as far as the list of runs can prove that.
ALTER TABLE jobs ADD COLUMN absences BIGINT NOT NULL DEFAULT 0;
