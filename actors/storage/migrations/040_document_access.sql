-- Who may read a document. It has no owner, so it is open to all of the guild or to all but guests.
ALTER TABLE document_versions
    ADD COLUMN access_level text NOT NULL DEFAULT 'public'
        CHECK (access_level IN ('public', 'protected'));
