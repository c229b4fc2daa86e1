-- Who is behind a number of the address book, for cover pages.

ALTER TABLE alias ADD COLUMN addressee TEXT NOT NULL DEFAULT '';
CREATE INDEX alias_by_number ON alias (number) WHERE addressee <> '';
