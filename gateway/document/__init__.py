"""Documents become fax pages, in throw-away processes: whatever a document does, it does to its own job only."""
