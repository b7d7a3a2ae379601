-- What was seen of evidence lies under a key of its own, so that it goes apart from
-- the person it was seen of. The rows of keys outlive the evidence: an older copy of
-- the key store still has what they name.

ALTER TABLE evidence ADD COLUMN sealed_under TEXT NOT NULL DEFAULT ''; -- of the person where it is empty

CREATE TABLE evidence_keys (
	id       TEXT NOT NULL PRIMARY KEY,
	subject  TEXT NOT NULL,
	evidence TEXT NOT NULL,
	due      INTEGER NOT NULL, -- when it was written down that it goes, 0 while it is in use
	gone     INTEGER NOT NULL -- when it was destroyed, 0 while it is in the key store
) WITHOUT ROWID;
CREATE INDEX evidence_keys_due ON evidence_keys (id) WHERE due > 0 AND gone = 0;
CREATE INDEX evidence_shared_key ON evidence (subject, id) WHERE sealed_under = '' AND length(sealed) > 0;
