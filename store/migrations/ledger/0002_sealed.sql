-- The sealed end: chunks of records, the index of addresses, and who has which number.

CREATE TABLE ledger_state (
	one         INTEGER PRIMARY KEY CHECK (one = 1),
	fence       INTEGER NOT NULL,
	holder      TEXT NOT NULL,
	lease_until INTEGER NOT NULL,
	closed_hour INTEGER NOT NULL,
	generation  INTEGER NOT NULL,
	next_number INTEGER NOT NULL,
	carried     INTEGER NOT NULL,
	lengths4    INTEGER NOT NULL,
	lengths6    INTEGER NOT NULL,
	erased      INTEGER NOT NULL
);
INSERT INTO ledger_state (one, fence, holder, lease_until, closed_hour, generation, next_number, carried, lengths4, lengths6, erased)
VALUES (1, 0, '', 0, 0, 0, 1, 0, 0, 0, 0);

CREATE TABLE holders (
	number       INTEGER PRIMARY KEY,
	account      TEXT NOT NULL UNIQUE,
	subject      TEXT NOT NULL,
	sealed_under TEXT NOT NULL
);

CREATE TABLE chunks (
	id   INTEGER PRIMARY KEY,
	blob BLOB NOT NULL
);

CREATE TABLE index_runs (
	id       INTEGER PRIMARY KEY,
	bits     INTEGER NOT NULL,
	postings INTEGER NOT NULL
);

CREATE TABLE index_blocks (
	id   INTEGER PRIMARY KEY,
	blob BLOB NOT NULL
);
