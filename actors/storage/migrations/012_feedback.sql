-- What was said of search results: whether a source answers a query. A curve says how well the source
-- stood at each bias of the share of the dense leg when it was said.
CREATE TABLE rag_feedback (
    guild_id     text NOT NULL REFERENCES guilds,
    query_sha256 bytea NOT NULL CHECK (octet_length(query_sha256) = 32),
    source_id    text NOT NULL,
    relevant     boolean NOT NULL,
    curve        real[] NOT NULL CHECK (cardinality(curve) = 17),
    model_id     text NOT NULL, -- of the vectors then; with another model it says nothing
    dimension    integer NOT NULL,
    given_at     timestamptz NOT NULL,
    PRIMARY KEY (guild_id, query_sha256, source_id)
);
CALL guild_protect('rag_feedback');

-- How often it has changed: the version of its events.
CREATE TABLE rag_feedback_versions (
    guild_id text PRIMARY KEY REFERENCES guilds,
    version  integer NOT NULL CHECK (version > 0)
);
CALL guild_protect('rag_feedback_versions');
REVOKE DELETE ON rag_feedback_versions FROM guild_app;
