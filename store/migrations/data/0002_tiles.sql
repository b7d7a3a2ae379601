-- The log's tiles, where processes share a database: tiles in a process's own
-- directory would leave the others without what the head rests on.
CREATE TABLE tiles (
	path TEXT NOT NULL PRIMARY KEY,
	data BLOB NOT NULL
);
