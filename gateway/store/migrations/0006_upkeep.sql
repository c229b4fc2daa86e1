-- What housekeeping, a start and the metrics look for is found without going through all that has ended.

DROP INDEX submission_by_time;
CREATE INDEX submission_kept ON submission (created_at) WHERE mail_file <> '';
CREATE INDEX submission_purged ON submission (created_at) WHERE mail_file = '';
CREATE INDEX submission_file ON submission (mail_file) WHERE mail_file NOT IN ('', 'database');
CREATE INDEX attempt_by_document ON attempt (document_ref);
CREATE INDEX receipt_unknown ON receipt (received_at) WHERE job IS NULL;
CREATE INDEX outbox_dead ON outbox (id) WHERE state = 'dead';
