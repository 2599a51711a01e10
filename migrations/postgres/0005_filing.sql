-- Deliveries are filed for looking them up: at once here, where an index costs little. See the step of the same name for
-- SQLite; the indexes stay as they are, because building them anew on a large table would take longer than a step may.

ALTER TABLE deliveries ADD COLUMN unfiled BIGINT NOT NULL DEFAULT 0;

-- They are packed before they are stored: PostgreSQL would try it once more, in vain.
ALTER TABLE bodies ALTER COLUMN body SET STORAGE EXTERNAL;
