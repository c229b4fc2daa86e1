-- What is kept of received faxes is found without going through all that ever came.

CREATE INDEX inbound_kept ON inbound (received_at) WHERE file <> '';
