-- Watch lists: snapshots, which one of each list is in effect and since when, and
-- where the configured sources stand.

CREATE TABLE list_snapshots (
	list     TEXT NOT NULL,
	digest   TEXT NOT NULL,
	as_of    INTEGER NOT NULL,
	made     INTEGER NOT NULL,
	entries  INTEGER NOT NULL,
	seen     INTEGER NOT NULL,
	broken   INTEGER NOT NULL,
	orphans  INTEGER NOT NULL,
	how      TEXT NOT NULL,
	operator TEXT NOT NULL,
	report   BLOB,
	body     BLOB,
	PRIMARY KEY (list, digest)
);

CREATE TABLE list_states (
	list     TEXT NOT NULL PRIMARY KEY,
	digest   TEXT NOT NULL,
	since    INTEGER NOT NULL,
	fresh    INTEGER NOT NULL,
	source   TEXT NOT NULL,
	held     TEXT NOT NULL,
	held_at  INTEGER NOT NULL,
	held_why TEXT NOT NULL,
	version  INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE list_events (
	id       TEXT NOT NULL PRIMARY KEY,
	list     TEXT NOT NULL,
	version  INTEGER NOT NULL, -- of the list's state that it made: the order of events
	at       INTEGER NOT NULL,
	what     TEXT NOT NULL,
	digest   TEXT NOT NULL,
	was      TEXT NOT NULL,
	operator TEXT NOT NULL,
	reason   BLOB
) WITHOUT ROWID;
CREATE INDEX list_events_list ON list_events (list, version);

CREATE TABLE list_sources (
	source   TEXT NOT NULL PRIMARY KEY,
	seen     TEXT NOT NULL,
	lists    TEXT NOT NULL,
	wanted   INTEGER NOT NULL,
	tried    INTEGER NOT NULL,
	checked  INTEGER NOT NULL,
	failures INTEGER NOT NULL,
	reason   TEXT NOT NULL,
	version  INTEGER NOT NULL
) WITHOUT ROWID;
