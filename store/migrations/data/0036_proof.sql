-- What was seen of evidence goes when it has proved; what it proved stays.

ALTER TABLE evidence ADD COLUMN dropped INTEGER NOT NULL DEFAULT 0;
