-- How long records are kept: which packs decided on a file, what of it went, holds
-- and erasures.

ALTER TABLE customers ADD COLUMN applied TEXT NOT NULL DEFAULT '';
ALTER TABLE customers ADD COLUMN gone TEXT NOT NULL DEFAULT '';

CREATE TABLE holds (
	id        TEXT NOT NULL PRIMARY KEY,
	customer  TEXT NOT NULL,
	class     TEXT NOT NULL,
	made_from INTEGER NOT NULL,
	made_to   INTEGER NOT NULL,
	ground    TEXT NOT NULL,
	matter    TEXT NOT NULL,
	undisclosed INTEGER NOT NULL,
	placed    INTEGER NOT NULL,
	operator  TEXT NOT NULL,
	review    INTEGER NOT NULL,
	lifted    INTEGER NOT NULL,
	lifted_by TEXT NOT NULL,
	version   INTEGER NOT NULL
);

CREATE TABLE erasures (
	id       TEXT NOT NULL PRIMARY KEY,
	state    TEXT NOT NULL,
	ground   TEXT NOT NULL,
	items    BLOB NOT NULL,
	proposed INTEGER NOT NULL,
	proposer TEXT NOT NULL,
	approver TEXT NOT NULL,
	due      INTEGER NOT NULL,
	done     INTEGER NOT NULL,
	version  INTEGER NOT NULL
);
CREATE INDEX erasures_state ON erasures (state, id);
