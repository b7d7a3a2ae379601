-- Keys that turn: how far each turn is, and how the log's key was handed over.

CREATE TABLE rotations (
	id       TEXT NOT NULL PRIMARY KEY,
	name     TEXT NOT NULL, -- what turns, of a closed list
	active   TEXT NOT NULL UNIQUE, -- the name until it is done, then the id: one turn of a name at a time
	stage    TEXT NOT NULL,
	targets  TEXT NOT NULL, -- versions of the keys that it leads to
	operator TEXT NOT NULL,
	asked    INTEGER NOT NULL,
	due      INTEGER NOT NULL, -- when the next stage may begin
	overlap  INTEGER NOT NULL, -- how long both keys are good, of keys that others hold
	place    TEXT NOT NULL, -- how far the work is
	done     INTEGER NOT NULL,
	left_over INTEGER NOT NULL,
	ended    INTEGER NOT NULL,
	version  INTEGER NOT NULL
);

CREATE TABLE handovers (
	key_version INTEGER NOT NULL PRIMARY KEY, -- that was handed over
	public      TEXT NOT NULL, -- its public half
	note        BLOB NOT NULL,
	made        INTEGER NOT NULL
);

ALTER TABLE gate_state ADD COLUMN keyed INTEGER NOT NULL DEFAULT 1;
