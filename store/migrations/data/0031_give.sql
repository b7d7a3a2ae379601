-- What leaves the house: non-disclosure orders are holds whose records are left out of
-- copies; exports of everything are asked for and agreed to.

ALTER TABLE holds ADD COLUMN withheld INTEGER NOT NULL DEFAULT 0;

CREATE TABLE exports (
	id         TEXT NOT NULL PRIMARY KEY,
	state      TEXT NOT NULL,
	matter     TEXT NOT NULL,
	recipients TEXT NOT NULL,
	asked      INTEGER NOT NULL,
	operator   TEXT NOT NULL,
	agreed     INTEGER NOT NULL,
	approver   TEXT NOT NULL,
	taken      INTEGER NOT NULL,
	files      INTEGER NOT NULL,
	version    INTEGER NOT NULL
);
