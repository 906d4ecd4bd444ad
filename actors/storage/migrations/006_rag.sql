-- What search covers: documents of our own, and one source a searchable thing of any kind.

-- Which version of a document is current. Every version stays readable, also after a deletion:
-- citations point at versions.
CREATE TABLE documents (
    guild_id       text NOT NULL REFERENCES guilds,
    document_id    text NOT NULL,
    external_id    text,
    version        integer NOT NULL CHECK (version > 0),
    status         text NOT NULL CHECK (status IN ('active', 'deleted')),
    content_sha256 text NOT NULL,
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    PRIMARY KEY (guild_id, document_id)
);
CREATE UNIQUE INDEX documents_external_id ON documents (guild_id, external_id)
    WHERE external_id IS NOT NULL;
CREATE UNIQUE INDEX documents_content ON documents (guild_id, content_sha256)
    WHERE external_id IS NULL;
CALL guild_protect('documents');

CREATE TABLE document_versions (
    guild_id       text NOT NULL,
    document_id    text NOT NULL,
    version        integer NOT NULL CHECK (version > 0),
    title          text NOT NULL,
    content        text NOT NULL,
    content_type   text NOT NULL,
    content_sha256 text NOT NULL,
    source_url     text,
    kind           text NOT NULL,
    tags           text[] NOT NULL,
    alert_names    text[] NOT NULL,
    labels         jsonb NOT NULL,
    metadata       jsonb NOT NULL,
    stored_at      timestamptz NOT NULL,
    PRIMARY KEY (guild_id, document_id, version),
    FOREIGN KEY (guild_id, document_id) REFERENCES documents
);
CALL guild_protect('document_versions');

-- One row a searchable thing: a document, a piece of knowledge, an incident, a task. The last
-- three are projections of events, kept with their text so that the next event can build on it.
-- index_version counts the events of this row (aggregate "<source_id>/index"), so a source that
-- leaves the index keeps its row.
CREATE TABLE sources (
    guild_id       text NOT NULL REFERENCES guilds,
    source_id      text NOT NULL,
    source_type    text NOT NULL CHECK (source_type IN ('document', 'knowledge', 'incident', 'task')),
    source_version integer NOT NULL CHECK (source_version > 0),
    index_version  integer NOT NULL CHECK (index_version > 0),
    external_id    text,
    title          text NOT NULL,
    body           text NOT NULL,
    kind           text NOT NULL,
    status         text NOT NULL,
    tags           text[] NOT NULL,
    alert_names    text[] NOT NULL,
    labels         jsonb NOT NULL,
    urls           text[] NOT NULL,
    removed        boolean NOT NULL,
    PRIMARY KEY (guild_id, source_id)
);
CALL guild_protect('sources');

-- The passages of all four kinds. Exactly one dimension: it belongs to the model that ships.
CREATE TABLE chunks (
    guild_id      text NOT NULL,
    chunk_id      text NOT NULL,
    source_id     text NOT NULL,
    position      integer NOT NULL CHECK (position >= 0),
    heading       text NOT NULL,
    body          text NOT NULL,
    char_start    integer NOT NULL,
    char_end      integer NOT NULL CHECK (char_end > char_start),
    embedded_text bytea NOT NULL, -- sha256 of what is embedded: equal text keeps its vector
    embedding     vector(384),
    model_id      text,
    claimed_until timestamptz,
    PRIMARY KEY (guild_id, chunk_id),
    UNIQUE (guild_id, source_id, position),
    FOREIGN KEY (guild_id, source_id) REFERENCES sources,
    CHECK ((embedding IS NULL) = (model_id IS NULL))
);
-- The embedder's queue. Under row-level security a partial index on (guild_id) is still usable.
CREATE INDEX chunks_to_embed ON chunks (guild_id, chunk_id) WHERE embedding IS NULL;
CALL guild_protect('chunks');
