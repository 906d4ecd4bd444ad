-- A document may bring its own vector. What it brought is a part of what it says: a version with
-- another vector is another version.
ALTER TABLE document_versions ADD COLUMN vector_sha256 text;
