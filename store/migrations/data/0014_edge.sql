-- What the gate answered. An account is its keyed hash alone: callers also ask about
-- who is not on file, and what they send can be anything.
--
-- source is the token of the edge that answered, '' for the centre.

CREATE TABLE gate_records (
	id       TEXT NOT NULL PRIMARY KEY,
	account  BLOB NOT NULL,
	source   TEXT NOT NULL,
	protocol TEXT NOT NULL,
	action   TEXT NOT NULL,
	answer   TEXT NOT NULL,
	code     TEXT NOT NULL,
	rule     TEXT NOT NULL,
	decision TEXT NOT NULL,
	first    INTEGER NOT NULL,
	last     INTEGER NOT NULL,
	count    INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX gate_records_account ON gate_records (account, id);

CREATE TABLE gate_counts (
	source   TEXT NOT NULL,
	hour     INTEGER NOT NULL,
	protocol TEXT NOT NULL,
	action   TEXT NOT NULL,
	answer   TEXT NOT NULL,
	count    INTEGER NOT NULL,
	PRIMARY KEY (source, hour, protocol, action, answer)
) WITHOUT ROWID;

-- The last batch of each run of each source, so that one sent twice counts once.
CREATE TABLE gate_batches (
	source TEXT NOT NULL,
	run    TEXT NOT NULL,
	n      INTEGER NOT NULL,
	at     INTEGER NOT NULL,
	lost   INTEGER NOT NULL,
	PRIMARY KEY (source, run)
) WITHOUT ROWID;
