-- The due date and share of a cohort can change; what waits for a second operator.

ALTER TABLE cohorts ADD COLUMN change TEXT NOT NULL DEFAULT ''; -- JSON, '' where nothing waits
