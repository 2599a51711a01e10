-- What is held back because the service would refuse it or does not answer, and windows that others use, too.

CREATE TABLE breakers (
  name TEXT PRIMARY KEY,
  -- Of the calls that met it, comma-separated.
  classes TEXT NOT NULL,
  reason TEXT NOT NULL,
  -- NULL while it is closed: then the row only counts failures and remembers its last life.
  since_at BIGINT,
  -- The next probe.
  until_at BIGINT NOT NULL,
  probes BIGINT NOT NULL,
  -- The call that probes.
  probe TEXT,
  -- Calls without an answer in a row, and when the last one ended.
  failures BIGINT NOT NULL,
  failed_at BIGINT NOT NULL,
  closed_at BIGINT NOT NULL
);

CREATE TABLE shrinks (
  class TEXT PRIMARY KEY,
  -- How many slots the class had right after the last 429.
  allowed BIGINT NOT NULL,
  limited_at BIGINT NOT NULL,
  -- From when it gets slots back, a step for so many quiet windows.
  grows_from BIGINT NOT NULL,
  patience BIGINT NOT NULL
);
