-- With which version of the guild's feedback a row was said: what is newest, whatever the clocks of
-- the members say. Rows from before this are the oldest, in the order of the clock.
ALTER TABLE rag_feedback ADD COLUMN version integer NOT NULL DEFAULT 0 CHECK (version >= 0);
