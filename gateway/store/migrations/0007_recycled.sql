-- A provider may give the id of a document that was deleted to another one.

DROP INDEX job_document_ref;
CREATE UNIQUE INDEX job_document_ref ON job (document_ref) WHERE document_ref IS NOT NULL AND erased_at IS NULL;
