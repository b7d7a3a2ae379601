-- What retention asks of decisions: those made before a time.
CREATE INDEX decisions_at ON decisions (at);
