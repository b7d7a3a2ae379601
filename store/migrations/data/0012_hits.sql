-- Hits: a pair of somebody on file and an entry of a watch list. Which entry is
-- sealed: an entry's id leads to a published name, which is near the customer's.
CREATE TABLE hits (
	id          TEXT NOT NULL PRIMARY KEY,
	customer    TEXT NOT NULL,
	application TEXT NOT NULL,
	subject     TEXT NOT NULL,
	of_what     TEXT NOT NULL, -- subject | payer
	list        TEXT NOT NULL,
	listed      BLOB NOT NULL, -- digest of list and entry
	state       TEXT NOT NULL, -- open | true | false | moot
	score       INTEGER NOT NULL, -- thousandths
	opened      INTEGER NOT NULL,
	changed     INTEGER NOT NULL,
	operator    TEXT NOT NULL, -- whose finding stands
	proposal    TEXT NOT NULL, -- finding that waits for a second operator
	proposer    TEXT NOT NULL,
	proposed    INTEGER NOT NULL,
	again       TEXT NOT NULL, -- why it is open again: entry | claims
	gone        INTEGER NOT NULL, -- the entry has left its list
	due         INTEGER NOT NULL, -- of a true one: by when it is to be reported
	reported    INTEGER NOT NULL,
	keep        INTEGER NOT NULL, -- of a true one: until when its list has records kept
	findings    INTEGER NOT NULL, -- how many there were
	found       BLOB, -- sealed: the entry
	finding     BLOB, -- sealed: the reason, and what was compared
	version     INTEGER NOT NULL
);
CREATE INDEX hits_customer ON hits (customer);
CREATE INDEX hits_state ON hits (state, id);
CREATE INDEX hits_listed ON hits (listed);

-- Sweeps: jobs over everybody on file, with how far they are.
CREATE TABLE sweeps (
	id       TEXT NOT NULL PRIMARY KEY,
	kind     TEXT NOT NULL, -- sweep | tune
	list     TEXT NOT NULL,
	was      TEXT NOT NULL, -- snapshot before
	becomes  TEXT NOT NULL,
	made     INTEGER NOT NULL,
	stage    TEXT NOT NULL,
	place    TEXT NOT NULL, -- the last customer that is done
	done     INTEGER NOT NULL,
	affected INTEGER NOT NULL,
	total    INTEGER NOT NULL,
	result   BLOB,
	ended    INTEGER NOT NULL,
	version  INTEGER NOT NULL
);
