-- The one schema of both databases, in SQLite's words. For PostgreSQL the program
-- puts BYTEA for BLOB, BIGINT for INTEGER, TEXT COLLATE "C" for TEXT, and leaves
-- out WITHOUT ROWID. Times are microseconds since 1970 UTC, 0 for none.
--
-- A table is WITHOUT ROWID where its rows are small; a row past 1,000 bytes in such
-- a table would take an overflow page of its own.

CREATE TABLE meta (
	one        INTEGER PRIMARY KEY CHECK (one = 1),
	deployment TEXT NOT NULL,
	mode       TEXT NOT NULL,
	origin     TEXT NOT NULL,
	made       INTEGER NOT NULL
);

CREATE TABLE customers (
	id      TEXT NOT NULL PRIMARY KEY,
	kind    TEXT NOT NULL,
	made    INTEGER NOT NULL,
	version INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE applications (
	id        TEXT NOT NULL PRIMARY KEY,
	reference TEXT NOT NULL UNIQUE,
	mac       BLOB,
	customer  TEXT NOT NULL,
	account   TEXT NOT NULL,
	state     TEXT NOT NULL,
	revision  INTEGER NOT NULL,
	received  INTEGER NOT NULL,
	updated   INTEGER NOT NULL,
	decision  TEXT NOT NULL,
	version   INTEGER NOT NULL,
	shadow    INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX applications_customer ON applications (customer);
CREATE INDEX applications_state ON applications (state, id);

CREATE TABLE accounts (
	id            TEXT NOT NULL PRIMARY KEY,
	reference     TEXT NOT NULL UNIQUE,
	customer      TEXT NOT NULL,
	parent        TEXT NOT NULL,
	relation      TEXT NOT NULL,
	state         TEXT NOT NULL,
	interim_since INTEGER NOT NULL,
	opened        INTEGER NOT NULL,
	closed        INTEGER NOT NULL,
	decision      TEXT NOT NULL,
	version       INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX accounts_customer ON accounts (customer);
CREATE INDEX accounts_parent ON accounts (parent) WHERE parent <> '';

CREATE TABLE subjects (
	customer     TEXT NOT NULL,
	id           TEXT NOT NULL,
	role         TEXT NOT NULL,
	pointer      TEXT NOT NULL,
	sealed_under TEXT NOT NULL,
	revision     INTEGER NOT NULL,
	changed      TEXT NOT NULL,
	erased       INTEGER NOT NULL,
	PRIMARY KEY (customer, id)
) WITHOUT ROWID;

CREATE TABLE claims (
	subject  TEXT NOT NULL,
	revision INTEGER NOT NULL,
	at       INTEGER NOT NULL,
	operator TEXT NOT NULL,
	sealed   BLOB,
	PRIMARY KEY (subject, revision)
);

CREATE TABLE evidence (
	id          TEXT NOT NULL,
	subject     TEXT NOT NULL,
	application TEXT NOT NULL,
	method      TEXT NOT NULL,
	kind        TEXT NOT NULL,
	revision    INTEGER NOT NULL,
	attributes  TEXT NOT NULL,
	shows       TEXT NOT NULL,
	rules       TEXT NOT NULL,
	assurance   TEXT NOT NULL,
	at          INTEGER NOT NULL,
	expires     INTEGER NOT NULL,
	producer    TEXT NOT NULL,
	sealed      BLOB,
	PRIMARY KEY (subject, id)
);

CREATE TABLE challenges (
	id          TEXT NOT NULL PRIMARY KEY,
	application TEXT NOT NULL,
	subject     TEXT NOT NULL,
	method      TEXT NOT NULL,
	revision    INTEGER NOT NULL,
	mac         BLOB,
	target      BLOB,
	made        INTEGER NOT NULL,
	expires     INTEGER NOT NULL,
	remaining   INTEGER NOT NULL,
	done        INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX challenges_target ON challenges (target, made);

CREATE TABLE decisions (
	id          TEXT NOT NULL PRIMARY KEY,
	about_kind  TEXT NOT NULL,
	about_id    TEXT NOT NULL,
	application TEXT NOT NULL,
	customer    TEXT NOT NULL,
	at          INTEGER NOT NULL,
	outcome     TEXT NOT NULL,
	observed    INTEGER NOT NULL,
	body        BLOB,
	facts       BLOB,
	salt        BLOB
);
CREATE INDEX decisions_customer ON decisions (customer);

CREATE TABLE entries (
	id         TEXT NOT NULL PRIMARY KEY,
	type       TEXT NOT NULL,
	at         INTEGER NOT NULL,
	operator   TEXT NOT NULL,
	about_kind TEXT NOT NULL,
	about_id   TEXT NOT NULL,
	body       BLOB,
	salt       BLOB
);

CREATE TABLE reviews (
	id          TEXT NOT NULL PRIMARY KEY,
	application TEXT NOT NULL,
	customer    TEXT NOT NULL,
	decision    TEXT NOT NULL,
	rules       TEXT NOT NULL,
	state       TEXT NOT NULL,
	opened      INTEGER NOT NULL,
	proposal    BLOB,
	proposer    TEXT NOT NULL,
	evidence    TEXT NOT NULL,
	version     INTEGER NOT NULL
);
CREATE INDEX reviews_application ON reviews (application);
CREATE INDEX reviews_state ON reviews (state, id);

-- The blind indexes. kind and role are numbers of the tables in indexes.go.
CREATE TABLE blind (
	kind   INTEGER NOT NULL,
	digest BLOB NOT NULL,
	handle BLOB NOT NULL,
	role   INTEGER NOT NULL,
	made   INTEGER NOT NULL,
	PRIMARY KEY (kind, digest, handle)
) WITHOUT ROWID;

CREATE TABLE leaves (
	idx  INTEGER PRIMARY KEY,
	leaf BLOB NOT NULL,
	ref  TEXT NOT NULL
);
CREATE UNIQUE INDEX leaves_ref ON leaves (ref) WHERE ref <> '';

-- One row: how many leaves there are. Who appends holds its lock until the commit,
-- so that indexes rise in the order of commits.
CREATE TABLE log_size (
	one  INTEGER PRIMARY KEY CHECK (one = 1),
	size INTEGER NOT NULL
);
INSERT INTO log_size (one, size) VALUES (1, 0);

CREATE TABLE log_head (
	one    INTEGER PRIMARY KEY CHECK (one = 1),
	signed BLOB
);
INSERT INTO log_head (one, signed) VALUES (1, NULL);

CREATE TABLE checkpoints (
	size   INTEGER NOT NULL PRIMARY KEY,
	signed BLOB NOT NULL,
	made   INTEGER NOT NULL
);

CREATE TABLE jobs (
	id         TEXT NOT NULL PRIMARY KEY,
	kind       TEXT NOT NULL,
	ref        TEXT NOT NULL,
	payload    BLOB,
	run_at     INTEGER NOT NULL, -- of a job that is taken: the end of its lease
	attempts   INTEGER NOT NULL,
	fence      INTEGER NOT NULL,
	holder     TEXT NOT NULL,
	last_error TEXT NOT NULL,
	dead       INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX jobs_due ON jobs (kind, run_at) WHERE dead = 0;
CREATE INDEX jobs_dead ON jobs (id) WHERE dead = 1;

CREATE TABLE leases (
	name    TEXT NOT NULL PRIMARY KEY,
	holder  TEXT NOT NULL,
	fence   INTEGER NOT NULL,
	expires INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE operators (
	id       TEXT NOT NULL PRIMARY KEY,
	name     TEXT NOT NULL,
	made     INTEGER NOT NULL,
	disabled INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE tokens (
	id       TEXT NOT NULL PRIMARY KEY,
	operator TEXT NOT NULL,
	name     TEXT NOT NULL,
	mac      BLOB NOT NULL UNIQUE,
	scopes   TEXT NOT NULL,
	made     INTEGER NOT NULL,
	expires  INTEGER NOT NULL,
	revoked  INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE packs (
	digest  TEXT NOT NULL PRIMARY KEY,
	id      TEXT NOT NULL,
	edition TEXT NOT NULL,
	source  BLOB NOT NULL,
	made    INTEGER NOT NULL
);

CREATE TABLE activations (
	id        TEXT NOT NULL PRIMARY KEY,
	pack      TEXT NOT NULL,
	digest    TEXT NOT NULL,
	effective INTEGER NOT NULL,
	proposer  TEXT NOT NULL,
	approver  TEXT NOT NULL,
	observe   INTEGER NOT NULL,
	retire    INTEGER NOT NULL,
	made      INTEGER NOT NULL,
	approved  INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE webhooks (
	id      TEXT NOT NULL PRIMARY KEY,
	url     TEXT NOT NULL,
	events  TEXT NOT NULL,
	secret  BLOB,
	enabled INTEGER NOT NULL,
	made    INTEGER NOT NULL,
	version INTEGER NOT NULL
);

CREATE TABLE deliveries (
	webhook TEXT NOT NULL,
	message TEXT NOT NULL,
	attempt INTEGER NOT NULL,
	event   TEXT NOT NULL,
	ref     TEXT NOT NULL,
	at      INTEGER NOT NULL,
	status  INTEGER NOT NULL,
	error   TEXT NOT NULL,
	took    INTEGER NOT NULL,
	payload BLOB, -- the event as it was sent: ids and outcomes
	PRIMARY KEY (webhook, message, attempt)
);

CREATE TABLE idempotency (
	operator TEXT NOT NULL,
	idem     TEXT NOT NULL,
	mac      BLOB NOT NULL,
	status   INTEGER NOT NULL,
	body     BLOB,
	expires  INTEGER NOT NULL,
	PRIMARY KEY (operator, idem)
);
CREATE INDEX idempotency_expires ON idempotency (expires);
