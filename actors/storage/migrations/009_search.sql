-- Who may read a source, and when it last changed: searches filter by both.
ALTER TABLE sources
    ADD COLUMN access_level text NOT NULL DEFAULT 'public',
    ADD COLUMN changed_at timestamptz NOT NULL DEFAULT now();
