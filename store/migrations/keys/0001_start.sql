-- The key store: its own file, or its own database or schema. Nothing in it is a clear key.

CREATE TABLE key_set (
	one     INTEGER PRIMARY KEY CHECK (one = 1),
	version INTEGER NOT NULL,
	epoch   INTEGER NOT NULL,
	root    TEXT NOT NULL,
	proof   BLOB
);

CREATE TABLE named_keys (
	name    TEXT NOT NULL,
	version INTEGER NOT NULL,
	wrapped BLOB NOT NULL,
	PRIMARY KEY (name, version)
);

CREATE TABLE subject_keys (
	id      TEXT NOT NULL PRIMARY KEY,
	handle  BLOB NOT NULL UNIQUE,
	epoch   INTEGER NOT NULL,
	wrapped BLOB NOT NULL
) WITHOUT ROWID;
