"""The statements of re-embedding.

Next vectors are looked up passage by passage: the planner knows too little about a table that grows
so fast to join it well.
"""

PROGRESS = """
SELECT count(*) AS passages, count((
    SELECT true FROM next_vectors AS next
    WHERE next.guild_id = $1 AND next.model_id = $2 AND next.dimension = $3
      AND next.chunk_id = chunks.chunk_id)) AS ready
FROM chunks WHERE guild_id = $1
"""

WAITING = """
SELECT chunks.chunk_id, chunks.source_id, sources.title, chunks.heading, chunks.body
FROM chunks JOIN sources USING (guild_id, source_id)
WHERE chunks.guild_id = $1 AND chunks.chunk_id > $4 AND (
    SELECT true FROM next_vectors AS next
    WHERE next.guild_id = $1 AND next.model_id = $2 AND next.dimension = $3
      AND next.chunk_id = chunks.chunk_id) IS NULL
ORDER BY chunks.chunk_id LIMIT $5
"""

KEEP = """
INSERT INTO next_vectors (guild_id, model_id, dimension, chunk_id, embedding)
SELECT $1, $2, $3, chunk_id, embedding
FROM unnest($4::text[], $5::vector[]) AS new(chunk_id, embedding)
ON CONFLICT DO NOTHING
"""

LOCK = "SELECT pg_advisory_xact_lock(guild_model_lock($1))"

# Those that came too late wait from now on, as new ones do. Where they are too many, none does.
LATE = """
WITH looked AS MATERIALIZED (
    SELECT chunk_id, (
        SELECT true FROM next_vectors AS next
        WHERE next.guild_id = $1 AND next.model_id = $2 AND next.dimension = $3
          AND next.chunk_id = chunks.chunk_id) IS NULL AS late
    FROM chunks WHERE guild_id = $1
), counted AS MATERIALIZED (
    SELECT count(*) FILTER (WHERE NOT late) AS ready, count(*) FILTER (WHERE late) AS late
    FROM looked
), waiting AS (
    UPDATE chunks SET embedding = NULL, model_id = NULL, claimed_until = NULL
    WHERE guild_id = $1 AND chunk_id = ANY(ARRAY(
        SELECT chunk_id FROM looked WHERE late AND (SELECT late FROM counted) <= $4))
)
SELECT ready, late FROM counted
"""

SET_MODEL = """
INSERT INTO guild_models (guild_id, model_id, dimension, version, switched_at)
VALUES ($1, $2, $3, 1, now())
ON CONFLICT (guild_id) DO UPDATE
SET model_id = excluded.model_id, dimension = excluded.dimension,
    version = guild_models.version + 1, switched_at = now()
RETURNING version
"""

# Passages that somebody else holds are left for later: nobody waits for this, or it for anybody.
FOLD = """
WITH first AS MATERIALIZED (
    SELECT chunk_id, embedding FROM next_vectors
    WHERE guild_id = $1 AND model_id = $2 AND dimension = $3 ORDER BY chunk_id LIMIT $4
), held AS MATERIALIZED (
    SELECT chunk_id FROM chunks
    WHERE guild_id = $1 AND chunk_id = ANY(ARRAY(SELECT chunk_id FROM first))
    ORDER BY chunk_id FOR UPDATE SKIP LOCKED
), folded AS (
    UPDATE chunks SET embedding = first.embedding, model_id = $2, claimed_until = NULL
    FROM first JOIN held USING (chunk_id)
    WHERE chunks.guild_id = $1 AND chunks.chunk_id = first.chunk_id
)
DELETE FROM next_vectors AS next
WHERE guild_id = $1 AND model_id = $2 AND dimension = $3
  AND chunk_id = ANY(ARRAY(SELECT chunk_id FROM first))
  AND (chunk_id = ANY(ARRAY(SELECT chunk_id FROM held)) OR NOT EXISTS (
      SELECT FROM chunks WHERE chunks.guild_id = $1 AND chunks.chunk_id = next.chunk_id))
"""

# All but those that a passage still needs.
FORGET = """
DELETE FROM next_vectors WHERE guild_id = $1 AND ctid = ANY(ARRAY(
    SELECT next.ctid FROM next_vectors AS next
    WHERE next.guild_id = $1 AND NOT EXISTS (
        SELECT FROM chunks JOIN guild_models AS now USING (guild_id)
        WHERE chunks.guild_id = $1 AND chunks.chunk_id = next.chunk_id
          AND now.model_id = next.model_id AND now.dimension = next.dimension)
    LIMIT $2))
"""
