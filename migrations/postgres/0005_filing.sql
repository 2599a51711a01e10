-- Deliveries are filed for looking them up: at once here, where an index costs little; see the step of the same name for
-- SQLite.

DROP INDEX deliveries_of_subject;
DROP INDEX deliveries_of_sha;
DROP INDEX deliveries_of_happening;
DROP INDEX deliveries_of_repo;
-- 1 while it stands in none of the indexes below but the first.
ALTER TABLE deliveries ADD COLUMN unfiled BIGINT NOT NULL DEFAULT 0;
CREATE INDEX deliveries_unfiled ON deliveries (id) WHERE unfiled = 1;
CREATE INDEX deliveries_of_subject ON deliveries (subject, id) WHERE unfiled = 0 AND subject IS NOT NULL;
CREATE INDEX deliveries_of_sha ON deliveries (sha, id) WHERE unfiled = 0 AND sha IS NOT NULL;
CREATE INDEX deliveries_of_happening ON deliveries (happening, id) WHERE unfiled = 0 AND happening IS NOT NULL;
CREATE INDEX deliveries_of_repo ON deliveries (repo, id) WHERE unfiled = 0 AND repo IS NOT NULL;
