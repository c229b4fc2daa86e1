-- Mails that come in several parts (message/partial). Each part is a submission without jobs, with a 250 of its own.

CREATE TABLE divided (
  id         TEXT PRIMARY KEY,        -- of the part that came first
  key        TEXT NOT NULL,           -- who sends it, to whom, with which options, and the id that its parts share
  identity   TEXT NOT NULL,
  total      INTEGER NOT NULL,        -- parts; 0 while none has told
  waits_from REAL NOT NULL,           -- since when it waits for the rest; a time in which we were not there does not count
  recipients TEXT NOT NULL,           -- JSON: who is told about when it ends without being faxed
  set_back   INTEGER NOT NULL DEFAULT 0, -- it was set back with the whole database: it may have been faxed after that
  ended_at   REAL,
  became     TEXT NOT NULL DEFAULT '', -- the submission that it is now, whose last part came last
  why        TEXT NOT NULL DEFAULT '', -- why it never will be one: what its parts hear that come too late
  cleared    INTEGER NOT NULL DEFAULT 0 -- it has ended, and the content of its parts is gone
) STRICT;
CREATE UNIQUE INDEX divided_open ON divided (key) WHERE ended_at IS NULL;
CREATE INDEX divided_uncleared ON divided (ended_at) WHERE ended_at IS NOT NULL AND NOT cleared;
CREATE INDEX divided_by_key ON divided (key);

CREATE TABLE part (
  divided    TEXT NOT NULL REFERENCES divided (id),
  number     INTEGER NOT NULL,
  submission TEXT NOT NULL REFERENCES submission (id),
  sha256     TEXT NOT NULL,           -- of what it holds of the whole
  PRIMARY KEY (divided, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX part_by_submission ON part (submission);
