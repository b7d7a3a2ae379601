-- What the gate says of every account, for those who follow it. A row is one
-- account's latest; seq rises in the order of commits, as the index of a leaf does.
-- No reference is in it: hash is keyed. profile names a row of gate_profiles by its
-- content.

CREATE TABLE gate_state (
	one    INTEGER PRIMARY KEY CHECK (one = 1),
	epoch  INTEGER NOT NULL,
	seq    INTEGER NOT NULL,
	filled TEXT NOT NULL
);
INSERT INTO gate_state (one, epoch, seq, filled) VALUES (1, 1, 0, '');

CREATE TABLE gate_profiles (
	id   BLOB NOT NULL PRIMARY KEY,
	body BLOB NOT NULL
);

CREATE TABLE gate_accounts (
	hash     BLOB NOT NULL PRIMARY KEY,
	account  TEXT NOT NULL,
	seq      INTEGER NOT NULL,
	profile  BLOB NOT NULL,
	decision TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX gate_accounts_seq ON gate_accounts (seq);
