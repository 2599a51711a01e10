-- What arrived together is packed together: bodies of one host are alike. See the step of the same name for SQLite.

ALTER TABLE bodies ADD COLUMN last TEXT COLLATE "C";
ALTER TABLE deliveries ADD COLUMN pack TEXT COLLATE "C";
ALTER TABLE deliveries ADD COLUMN pack_at BIGINT NOT NULL DEFAULT 0;

DROP INDEX checks_age;
