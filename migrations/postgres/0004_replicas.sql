-- Several processes beside one database: who is alive, who does what only one may do, whose calls are under way.

CREATE TABLE replicas (
  id TEXT COLLATE "C" PRIMARY KEY,
  name TEXT COLLATE "C" NOT NULL,
  started_at BIGINT NOT NULL,
  seen_at BIGINT NOT NULL
);

-- What only one of them does at a time, and until when it is theirs.
CREATE TABLE leases (
  duty TEXT COLLATE "C" PRIMARY KEY,
  holder TEXT COLLATE "C" NOT NULL,
  until_at BIGINT NOT NULL
);

-- The process that makes a call, and the call by which a job was sent last.
ALTER TABLE calls ADD COLUMN replica TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN call TEXT COLLATE "C" NOT NULL DEFAULT '';
CREATE INDEX calls_open ON calls (replica) WHERE ended_at IS NULL;
