-- Which model the vectors of a guild come from. Without a row it has no vector yet.
CREATE TABLE guild_models (
    guild_id    text PRIMARY KEY REFERENCES guilds,
    model_id    text NOT NULL CHECK (model_id <> ''),
    dimension   integer NOT NULL CHECK (dimension > 0),
    version     integer NOT NULL DEFAULT 0 CHECK (version >= 0), -- switches so far
    switched_at timestamptz
);

-- Vectors of a second model, where somebody changed the setting: the model of most of them stays,
-- the others are made again.
ALTER TABLE chunks NO FORCE ROW LEVEL SECURITY;
INSERT INTO guild_models (guild_id, model_id, dimension)
SELECT DISTINCT ON (guild_id) guild_id, model_id, dimension
FROM (SELECT guild_id, model_id, vector_dims(embedding) AS dimension, count(*) AS vectors
      FROM chunks WHERE embedding IS NOT NULL GROUP BY 1, 2, 3) AS counted
ORDER BY guild_id, vectors DESC, model_id;
UPDATE chunks SET embedding = NULL, model_id = NULL, claimed_until = NULL
FROM guild_models
WHERE chunks.guild_id = guild_models.guild_id AND chunks.model_id <> guild_models.model_id;
ALTER TABLE chunks FORCE ROW LEVEL SECURITY;

CALL guild_protect('guild_models');
REVOKE DELETE ON guild_models FROM guild_app;

-- Whoever writes vectors shares this lock, whoever switches the model has it alone: so all vectors of
-- a guild are of one model at every moment. Not a lock of the row: those are not queued for, and a
-- busy guild could never be switched.
CREATE FUNCTION guild_model_lock(guild text) RETURNS bigint LANGUAGE sql IMMUTABLE
    RETURN hashtextextended('the model of ' || guild, 0);
CREATE FUNCTION guild_model_held(guild text) RETURNS SETOF guild_models LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(guild_model_lock(guild));
    RETURN QUERY SELECT * FROM guild_models WHERE guild_models.guild_id = guild;
END
$$;

-- The next model may have another dimension.
ALTER TABLE chunks ALTER COLUMN embedding TYPE vector;

-- What a guild's passages will be found by when it has switched to another model. A line whose
-- passage was replaced meanwhile is of no use, and goes with the others.
CREATE TABLE next_vectors (
    guild_id  text NOT NULL REFERENCES guilds,
    model_id  text NOT NULL,
    dimension integer NOT NULL,
    chunk_id  text NOT NULL,
    embedding vector NOT NULL,
    PRIMARY KEY (guild_id, model_id, dimension, chunk_id),
    CHECK (vector_dims(embedding) = dimension)
);
CALL guild_protect('next_vectors');

-- A standing query is compared only with events of its own model; without one it is embedded again.
ALTER TABLE subscriptions ALTER COLUMN meaning TYPE vector;
ALTER TABLE subscriptions ADD COLUMN meaning_model text;
