-- The ledger: its own file, or its own schema; the words are those of migrations/data.
-- This is its hot end: batches as they came, sealed under the key of their hour, until
-- the sealer has passed.

CREATE TABLE hot_head (
	one     INTEGER PRIMARY KEY CHECK (one = 1),
	seq     INTEGER NOT NULL,
	sealed  INTEGER NOT NULL,
	batches INTEGER NOT NULL,
	records INTEGER NOT NULL
);
INSERT INTO hot_head (one, seq, sealed, batches, records) VALUES (1, 0, 0, 0, 0);

CREATE TABLE hot (
	seq     INTEGER PRIMARY KEY,
	name    TEXT NOT NULL,
	hour    INTEGER NOT NULL,
	made    INTEGER NOT NULL,
	records INTEGER NOT NULL,
	blob    BLOB NOT NULL
);

CREATE TABLE hot_seen (
	seq     INTEGER PRIMARY KEY,
	made    INTEGER NOT NULL,
	digests BLOB
);

CREATE TABLE quarantine (
	seq     INTEGER PRIMARY KEY,
	name    TEXT NOT NULL,
	made    INTEGER NOT NULL,
	records INTEGER NOT NULL,
	blob    BLOB NOT NULL
);

CREATE TABLE waiting (
	digest BLOB NOT NULL,
	seq    INTEGER NOT NULL,
	PRIMARY KEY (digest, seq)
) WITHOUT ROWID;
