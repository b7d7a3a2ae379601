-- Which members of a cohort were decided by something else than its date: the share of a
-- day is of the others. Of those decided before, and by an older program, all count.

ALTER TABLE adopted ADD COLUMN beside INTEGER NOT NULL DEFAULT 0;
