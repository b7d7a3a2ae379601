-- Sealed chunks of quarters that are over can lie in objects outside (package objects), many
-- in one: a volume. blob is then the chunk's head alone, and the rest lies in the volume
-- from start on. NULL: the whole chunk is in blob.
ALTER TABLE chunks ADD COLUMN volume INTEGER;
ALTER TABLE chunks ADD COLUMN start INTEGER;
ALTER TABLE chunks ADD COLUMN size INTEGER;
CREATE INDEX chunks_volume ON chunks (volume, size) WHERE volume IS NOT NULL;

CREATE TABLE volumes (
	id    INTEGER PRIMARY KEY,
	name  TEXT NOT NULL UNIQUE,
	size  INTEGER NOT NULL,
	made  INTEGER NOT NULL,
	holed INTEGER NOT NULL,
	gone  INTEGER NOT NULL
);

CREATE TABLE volume_spaces (
	name TEXT PRIMARY KEY,
	made INTEGER NOT NULL,
	ours INTEGER NOT NULL
);
