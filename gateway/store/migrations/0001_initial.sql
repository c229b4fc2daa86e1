-- Times are epoch seconds (UTC), money is decimal text, lists and facts are JSON.

CREATE TABLE meta (
  key   TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT;

CREATE TABLE submission (
  id           TEXT PRIMARY KEY,      -- the queue id told in the 250
  created_at   REAL NOT NULL,
  mail_file    TEXT NOT NULL,         -- spool name, or 'database' (see mail_body); '' once purged
  size         INTEGER NOT NULL,
  sender       TEXT NOT NULL,         -- envelope sender, '' = null reverse-path
  identity     TEXT NOT NULL,
  results_to   TEXT NOT NULL,
  client       TEXT NOT NULL,
  subject      TEXT NOT NULL,
  message_id   TEXT NOT NULL,
  date         TEXT NOT NULL,
  envid        TEXT,
  ret          TEXT,
  address      TEXT NOT NULL,         -- of the client
  route        TEXT NOT NULL,         -- match of the sender route that applied; '' for none
  dedupe_key   TEXT NOT NULL,
  confirmed_at REAL                   -- the client spoke again after our 250, so it has seen it
) STRICT;
CREATE INDEX submission_unconfirmed ON submission (dedupe_key) WHERE confirmed_at IS NULL;
CREATE INDEX submission_by_time ON submission (created_at);

CREATE TABLE mail_body (              -- of small mails; larger ones are files
  submission TEXT PRIMARY KEY REFERENCES submission (id),
  content    BLOB NOT NULL
) STRICT;

CREATE TABLE job (
  id               TEXT PRIMARY KEY,
  submission       TEXT NOT NULL REFERENCES submission (id),
  rcpt             TEXT NOT NULL,
  number           TEXT NOT NULL,
  state            TEXT NOT NULL,
  created_at       REAL NOT NULL,
  updated_at       REAL NOT NULL,
  next_at          REAL NOT NULL,
  hold             TEXT NOT NULL DEFAULT '',
  approved         INTEGER NOT NULL DEFAULT 0,   -- a person has released it: only caps may stop it
  strikes          INTEGER NOT NULL DEFAULT 0,   -- tries of the present step begun
  polls            INTEGER NOT NULL DEFAULT 0,   -- status polls in the present state
  attempts         INTEGER NOT NULL DEFAULT 0,   -- sends recorded
  redials          INTEGER NOT NULL DEFAULT 0,
  uploads          INTEGER NOT NULL DEFAULT 0,   -- uploads begun: part of the name given to the provider
  document_file    TEXT NOT NULL DEFAULT '',
  document_pages   INTEGER,
  document_size    INTEGER,
  document_sha256  TEXT,
  document_seconds REAL,
  document_ledger  TEXT,
  document_sheets  TEXT,
  document_ref     INTEGER,
  provider_ref     INTEGER,
  erased_at        REAL,                         -- the provider's copy of the document is gone
  delayed_at       REAL,                         -- the sender was told that it waits, or it was decided not to
  tsi              TEXT NOT NULL DEFAULT '',
  options          TEXT NOT NULL DEFAULT '{}',   -- JSON of FaxOptions but these two
  priority         INTEGER NOT NULL DEFAULT 0,
  send_at          REAL NOT NULL DEFAULT 0,      -- not before
  orcpt            TEXT,
  notify           TEXT NOT NULL DEFAULT '',
  cost             TEXT,
  outcome          TEXT NOT NULL DEFAULT '',
  last_error       TEXT NOT NULL DEFAULT '',
  finished_at      REAL,
  active INTEGER GENERATED ALWAYS AS (state NOT IN ('delivered', 'failed', 'cancelled') AND hold = '') VIRTUAL,
  erasable INTEGER GENERATED ALWAYS AS
    (state IN ('delivered', 'failed', 'cancelled') AND document_ref IS NOT NULL AND erased_at IS NULL) VIRTUAL,
  overdue INTEGER GENERATED ALWAYS AS
    (state IN ('accepted', 'prepared', 'uploaded') AND delayed_at IS NULL) VIRTUAL,
  wanted_at REAL GENERATED ALWAYS AS (max(created_at, send_at)) VIRTUAL
) STRICT;
CREATE INDEX job_due ON job (state, priority, next_at) WHERE active;
CREATE INDEX job_erasable ON job (next_at) WHERE erasable;
CREATE INDEX job_overdue ON job (wanted_at) WHERE overdue;
CREATE INDEX job_open ON job (state) WHERE finished_at IS NULL;
CREATE INDEX job_by_submission ON job (submission);
CREATE INDEX job_by_document ON job (document_file) WHERE document_file <> '';
CREATE INDEX job_finished ON job (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX job_held ON job (created_at) WHERE hold <> '';
CREATE UNIQUE INDEX job_provider_ref ON job (provider_ref) WHERE provider_ref IS NOT NULL;
CREATE UNIQUE INDEX job_document_ref ON job (document_ref) WHERE document_ref IS NOT NULL;

CREATE TABLE attempt (
  job           TEXT NOT NULL REFERENCES job (id),
  n             INTEGER NOT NULL,
  document_ref  INTEGER NOT NULL,
  number        TEXT NOT NULL,
  started_at    REAL NOT NULL,
  ended_at      REAL,
  outcome       TEXT NOT NULL DEFAULT '',        -- '', sent, not_sent, unknown, found, absent
  provider_ref  INTEGER,
  cost          TEXT,
  detail        TEXT NOT NULL DEFAULT '',
  good_polls    INTEGER NOT NULL DEFAULT 0,      -- complete history readings that did not show it
  good_seconds  REAL NOT NULL DEFAULT 0,         -- the time over which they are spread, by a clock that is never set
  begun_event   INTEGER NOT NULL DEFAULT 0,      -- the newest event when it began and when it ended: the order of sends,
  ended_event   INTEGER,                         -- whatever the clock did
  balance       TEXT,                            -- of the account before it, as told after balance_event
  balance_event INTEGER,
  PRIMARY KEY (job, n)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX attempt_provider_ref ON attempt (provider_ref) WHERE provider_ref IS NOT NULL;
CREATE UNIQUE INDEX attempt_open ON attempt (job) WHERE outcome = '';
CREATE INDEX attempt_by_end ON attempt (ended_event) WHERE provider_ref IS NOT NULL;

CREATE TABLE spending (                          -- sends that count: all but those that provably were none
  job         TEXT NOT NULL,
  n           INTEGER NOT NULL,
  at          REAL NOT NULL,                     -- time of the ledger, which no clock sets back
  identity    TEXT NOT NULL,
  client      TEXT NOT NULL,
  destination TEXT NOT NULL,
  route       TEXT NOT NULL,
  pages       INTEGER NOT NULL,
  money       INTEGER NOT NULL,                  -- millionths
  approved    INTEGER NOT NULL,                  -- a person had released it
  PRIMARY KEY (job, n)
) STRICT, WITHOUT ROWID;
CREATE INDEX spending_by_identity ON spending (identity, at) WHERE NOT approved;

CREATE TABLE spent (                             -- their sums, by whose sends they are and by slots of time
  scope TEXT NOT NULL,
  who   TEXT NOT NULL,
  span  INTEGER NOT NULL,                        -- seconds of the slot
  start INTEGER NOT NULL,
  faxes INTEGER NOT NULL,
  pages INTEGER NOT NULL,
  money INTEGER NOT NULL,
  PRIMARY KEY (scope, who, span, start)
) STRICT, WITHOUT ROWID;
CREATE INDEX spent_by_time ON spent (span, start);

CREATE TABLE destination (                       -- whom each sender has faxed
  identity TEXT NOT NULL,
  number   TEXT NOT NULL,
  country  TEXT NOT NULL,
  first_at REAL NOT NULL,                        -- times of the ledger
  last_at  REAL NOT NULL,
  approved INTEGER NOT NULL,                     -- a person had released the first
  PRIMARY KEY (identity, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX destination_country ON destination (identity, country);
CREATE INDEX destination_first ON destination (identity, first_at) WHERE NOT approved;
CREATE INDEX destination_last ON destination (last_at);

CREATE TABLE stopped (                           -- senders whose faxes are held
  identity    TEXT PRIMARY KEY,
  at          REAL NOT NULL,
  why         TEXT NOT NULL,                     -- '' once released
  released_at REAL NOT NULL DEFAULT 0            -- time of the ledger
) STRICT;

CREATE TABLE told (                              -- what need not be told again
  what TEXT PRIMARY KEY,
  at   REAL NOT NULL
) STRICT;

CREATE TABLE event (
  id         INTEGER PRIMARY KEY,
  job        TEXT NOT NULL,
  at         REAL NOT NULL,
  from_state TEXT NOT NULL,
  to_state   TEXT NOT NULL,
  what       TEXT NOT NULL
) STRICT;
CREATE INDEX event_by_job ON event (job);

CREATE TABLE receipt (
  id           INTEGER PRIMARY KEY,
  provider_ref INTEGER NOT NULL,
  verdict      TEXT NOT NULL,
  code         TEXT NOT NULL,
  text         TEXT NOT NULL,
  received_at  REAL NOT NULL,
  job          TEXT,
  UNIQUE (provider_ref, verdict, code)
) STRICT;
CREATE INDEX receipt_by_job ON receipt (job) WHERE job IS NOT NULL;

CREATE TABLE inbound (
  id          TEXT PRIMARY KEY,
  uuid        TEXT NOT NULL,
  inbox_id    INTEGER,
  state       TEXT NOT NULL,
  received_at REAL NOT NULL,
  did         TEXT NOT NULL,          -- digits of our number
  caller      TEXT NOT NULL,          -- digits of the other number
  arrival     TEXT NOT NULL,          -- JSON of FaxArrival
  file        TEXT NOT NULL,
  file_type   TEXT NOT NULL,
  size        INTEGER NOT NULL,
  sha256      TEXT NOT NULL,
  next_at     REAL NOT NULL,
  strikes     INTEGER NOT NULL DEFAULT 0,
  last_error  TEXT NOT NULL DEFAULT '',
  listed_at   REAL                    -- the time that the provider's list gives
) STRICT;
CREATE UNIQUE INDEX inbound_uuid ON inbound (uuid) WHERE uuid <> '';
CREATE UNIQUE INDEX inbound_inbox_id ON inbound (inbox_id) WHERE inbox_id IS NOT NULL;
CREATE INDEX inbound_due ON inbound (next_at) WHERE state = 'pending';
CREATE INDEX inbound_match ON inbound (did, received_at);
CREATE INDEX inbound_by_time ON inbound (received_at);
CREATE INDEX inbound_by_sha256 ON inbound (sha256) WHERE sha256 <> '';

CREATE TABLE outbox (
  id            TEXT PRIMARY KEY,
  kind          TEXT NOT NULL,
  cause         TEXT NOT NULL,
  recipient     TEXT NOT NULL,
  envelope_from TEXT NOT NULL,
  message_id    TEXT NOT NULL,
  created_at    REAL NOT NULL,
  facts         TEXT NOT NULL,
  file          TEXT NOT NULL,
  state         TEXT NOT NULL,
  tries         INTEGER NOT NULL DEFAULT 0,
  next_at       REAL NOT NULL,
  last_error    TEXT NOT NULL DEFAULT '',
  ended_at      REAL,
  UNIQUE (kind, cause, recipient)
) STRICT;
CREATE INDEX outbox_due ON outbox (next_at) WHERE state = 'queued';
CREATE INDEX outbox_by_cause ON outbox (cause);
CREATE INDEX outbox_by_file ON outbox (file) WHERE file <> '';
CREATE INDEX outbox_ended ON outbox (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE route (
  id         INTEGER PRIMARY KEY,
  kind       TEXT NOT NULL,
  match      TEXT NOT NULL,
  mailboxes  TEXT NOT NULL,           -- JSON list
  allow      INTEGER NOT NULL,
  tsi        TEXT NOT NULL,
  region     TEXT NOT NULL,
  results_to TEXT NOT NULL,
  options    TEXT NOT NULL,           -- JSON object: option -> value
  own_tsi    INTEGER NOT NULL,
  note       TEXT NOT NULL,
  identity   TEXT NOT NULL,           -- the least proof of who sends: any, network, dkim, login, certificate
  caps       TEXT NOT NULL,           -- JSON list, "day:money=5.00"
  approval   TEXT NOT NULL,           -- JSON: new_country, pages, price, approver
  created_at REAL NOT NULL,
  UNIQUE (kind, match)
) STRICT;

CREATE TABLE alias (
  name       TEXT NOT NULL,           -- in lower case
  scope      TEXT NOT NULL,           -- whom it is for, as the match of a sender route
  number     TEXT NOT NULL,
  note       TEXT NOT NULL,
  created_at REAL NOT NULL,
  PRIMARY KEY (name, scope)
) STRICT, WITHOUT ROWID;

CREATE TABLE user (
  name          TEXT PRIMARY KEY,
  password_hash TEXT NOT NULL,        -- argon2id, PHC string
  created_at    REAL NOT NULL,
  disabled      INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE login_failure (          -- passwords that were verified and wrong, for as long as they count
  at      REAL NOT NULL,
  address TEXT NOT NULL,              -- of the client; of IPv6 the /64
  login   TEXT NOT NULL               -- user:NAME, else a digest whose key dies with the process: people type passwords
) STRICT;
CREATE INDEX login_failure_by_address ON login_failure (address, at);
CREATE INDEX login_failure_by_login ON login_failure (login, at);
CREATE INDEX login_failure_by_time ON login_failure (at);

CREATE TABLE login_success (          -- where a login was good: nobody elsewhere can lock it out there
  login   TEXT NOT NULL,
  address TEXT NOT NULL,
  at      REAL NOT NULL,              -- the last time, to a day
  PRIMARY KEY (login, address)
) STRICT, WITHOUT ROWID;
CREATE INDEX login_success_by_time ON login_success (at);
