-- When the history last proved an attempt absent: in which run of the machine, and how long after its start (s).

ALTER TABLE attempt ADD COLUMN looked_boot TEXT NOT NULL DEFAULT '';
ALTER TABLE attempt ADD COLUMN looked_at REAL NOT NULL DEFAULT 0;
