-- What the guild has learned: entities, every version of them, and its own categories.

CREATE TABLE knowledge_entities (
    guild_id          text NOT NULL REFERENCES guilds,
    entity_id         text NOT NULL,
    title             text NOT NULL CHECK (title <> '' AND length(title) <= 500),
    content           text NOT NULL CHECK (content <> ''),
    content_type      text NOT NULL,
    summary           text NOT NULL CHECK (length(summary) <= 1000),
    category_id       text NOT NULL CHECK (category_id ~ '^[a-zA-Z0-9_-]+$'),
    status            text NOT NULL CHECK (status IN
                          ('draft', 'active', 'inactive', 'archived', 'deleted')),
    access_level      text NOT NULL CHECK (access_level IN
                          ('public', 'protected', 'private', 'restricted')),
    tags              text[] NOT NULL CHECK (cardinality(tags) <= 10),
    keywords          text[] NOT NULL,
    source_references text[] NOT NULL,
    labels            jsonb NOT NULL,
    alert_names       text[] NOT NULL,
    metadata          jsonb NOT NULL,
    quality_score     double precision NOT NULL CHECK (quality_score BETWEEN 0 AND 1),
    relevance_score   double precision NOT NULL CHECK (relevance_score BETWEEN 0 AND 1),
    confidence_score  double precision NOT NULL CHECK (confidence_score BETWEEN 0 AND 1),
    origin_id         text,
    author_id         text NOT NULL,
    owner_id          text NOT NULL,
    version           integer NOT NULL CHECK (version > 0),
    created_at        timestamptz NOT NULL,
    created_by        text NOT NULL,
    updated_at        timestamptz NOT NULL,
    updated_by        text NOT NULL,
    deleted_at        timestamptz,
    PRIMARY KEY (guild_id, entity_id),
    CHECK ((status = 'deleted') = (deleted_at IS NOT NULL))
);
CREATE INDEX idx_knowledge_title ON knowledge_entities (guild_id, title);
CREATE INDEX idx_knowledge_category
    ON knowledge_entities (guild_id, category_id, created_at, entity_id);
CREATE INDEX idx_knowledge_created_at ON knowledge_entities (guild_id, created_at, entity_id);
-- At most one entity from one review, whoever delivers it how often.
CREATE UNIQUE INDEX knowledge_of_origin ON knowledge_entities (guild_id, origin_id)
    WHERE origin_id IS NOT NULL;
CALL guild_protect('knowledge_entities');
REVOKE DELETE ON knowledge_entities FROM guild_app;

-- Written once and read whole, so a version is one document and its shape may grow.
CREATE TABLE knowledge_versions (
    guild_id   text NOT NULL,
    entity_id  text NOT NULL,
    version    integer NOT NULL,
    title      text NOT NULL,
    status     text NOT NULL,
    updated_at timestamptz NOT NULL,
    updated_by text NOT NULL,
    entity     jsonb NOT NULL,
    PRIMARY KEY (guild_id, entity_id, version),
    FOREIGN KEY (guild_id, entity_id) REFERENCES knowledge_entities
);
CALL guild_protect('knowledge_versions');
REVOKE UPDATE, DELETE ON knowledge_versions FROM guild_app;

-- Those a guild adds; the default set belongs to every guild and stands in the code.
CREATE TABLE knowledge_categories (
    guild_id    text NOT NULL REFERENCES guilds,
    category_id text NOT NULL CHECK (category_id ~ '^[a-zA-Z0-9_-]+$'),
    name        text NOT NULL CHECK (name <> ''),
    description text NOT NULL,
    parent_id   text,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (guild_id, category_id)
);
CALL guild_protect('knowledge_categories');
REVOKE UPDATE, DELETE ON knowledge_categories FROM guild_app;
