-- What a process that is gone had is found by its name.

CREATE INDEX jobs_held ON jobs (holder) WHERE holder <> '';
