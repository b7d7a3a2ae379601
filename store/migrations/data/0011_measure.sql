-- Special measures: the register, the acts on it, and which accounts come under what.

CREATE TABLE determinations (
	id     TEXT NOT NULL PRIMARY KEY,
	digest TEXT NOT NULL,
	source BLOB NOT NULL,
	made   INTEGER NOT NULL,
	high   INTEGER NOT NULL -- the latest instant at which its accounts were decided
);

CREATE TABLE measure_acts (
	id            TEXT NOT NULL PRIMARY KEY,
	determination TEXT NOT NULL,
	kind          TEXT NOT NULL,
	from_at       INTEGER NOT NULL,
	until_at      INTEGER NOT NULL,
	at            INTEGER NOT NULL,
	licence       TEXT NOT NULL,
	proposer      TEXT NOT NULL,
	approver      TEXT NOT NULL,
	made          INTEGER NOT NULL,
	approved      INTEGER NOT NULL,
	binds         INTEGER NOT NULL,
	progress      TEXT NOT NULL, -- the last account that was brought up to it
	seen          INTEGER NOT NULL,
	matched       INTEGER NOT NULL,
	done          INTEGER NOT NULL
);
CREATE INDEX measure_acts_determination ON measure_acts (determination);

-- On which facts an account matches is not here: it is in the sealed facts of its
-- decision, and computed from them when somebody asks. next_at is when the account is to be decided anew; 0: not by time.
CREATE TABLE measure_matches (
	account       TEXT NOT NULL,
	determination TEXT NOT NULL,
	phase         TEXT NOT NULL,
	from_at       INTEGER NOT NULL,
	until_at      INTEGER NOT NULL,
	next_at       INTEGER NOT NULL,
	told          TEXT NOT NULL,
	PRIMARY KEY (account, determination)
);
CREATE INDEX measure_matches_determination ON measure_matches (determination, account);
CREATE INDEX measure_matches_next ON measure_matches (next_at) WHERE next_at > 0;

ALTER TABLE accounts ADD COLUMN tag TEXT NOT NULL DEFAULT '';
ALTER TABLE accounts ADD COLUMN beneath TEXT NOT NULL DEFAULT '';
