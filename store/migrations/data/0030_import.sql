-- A provider's existing book: the files that came in, the cohorts whose members are
-- decided from an instant on, and which accounts were taken over.

CREATE TABLE cohorts (
	name     TEXT NOT NULL PRIMARY KEY,
	due      INTEGER NOT NULL,
	share    INTEGER NOT NULL, -- per cent of its members a day
	made     INTEGER NOT NULL,
	operator TEXT NOT NULL,
	version  INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE imports (
	id       TEXT NOT NULL PRIMARY KEY,
	cohort   TEXT NOT NULL,
	source   TEXT NOT NULL, -- digest of the file
	operator TEXT NOT NULL,
	made     INTEGER NOT NULL,
	ended    INTEGER NOT NULL,
	place    INTEGER NOT NULL, -- the last line up to which all are done
	taken    INTEGER NOT NULL,
	present  INTEGER NOT NULL,
	refused  INTEGER NOT NULL,
	report   BLOB, -- numbers of refused lines, with fields and codes
	version  INTEGER NOT NULL
);
CREATE UNIQUE INDEX imports_source ON imports (cohort, source);

CREATE TABLE adopted (
	account TEXT NOT NULL PRIMARY KEY,
	cohort  TEXT NOT NULL,
	import  TEXT NOT NULL,
	ground  TEXT NOT NULL, -- why it was closed: left | abuse
	decided INTEGER NOT NULL,
	version INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX adopted_waiting ON adopted (cohort, account) WHERE decided = 0;
CREATE INDEX adopted_decided ON adopted (cohort, decided) WHERE decided > 0;
