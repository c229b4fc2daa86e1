-- Routes of devices that have a field for the subject, and none for an address.

ALTER TABLE route ADD COLUMN number_in_subject INTEGER NOT NULL DEFAULT 0;
