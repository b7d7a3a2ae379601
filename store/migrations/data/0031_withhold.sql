-- Non-disclosure orders: holds whose records are left out of copies.

ALTER TABLE holds ADD COLUMN withheld INTEGER NOT NULL DEFAULT 0;
