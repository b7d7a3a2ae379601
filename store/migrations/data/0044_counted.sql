-- What was counted last, by whichever process: counting reads whole indexes.

CREATE TABLE counted (
	one  INTEGER PRIMARY KEY CHECK (one = 1),
	at   INTEGER NOT NULL,
	took INTEGER NOT NULL, -- microseconds
	body TEXT NOT NULL -- JSON: counts by state
);
